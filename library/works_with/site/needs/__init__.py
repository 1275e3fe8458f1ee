"""The settings that a package needs with the library, a module for each: docs/works-with.md shows them as they are."""
