"""The settings that packages need with the library, one module for each package. docs/works-with.md shows them."""
