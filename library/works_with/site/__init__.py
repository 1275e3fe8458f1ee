"""A site that a process of its own serves, and that is clicked: `theme` says whose admin or editors it has."""
