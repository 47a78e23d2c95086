"""Whole folders: plan, several clips at a time, private map, index page.

Commands enter; beneath it `translation.files`. Never decides over the pixels of a clip."""
