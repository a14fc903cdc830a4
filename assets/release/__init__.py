"""What is handed to people: the report of a recipe, its dataset card and its model card."""
