"""The site's own user model, which Django advises every project to start with."""
