"""A custom user model, which Django recommends for every new project."""
