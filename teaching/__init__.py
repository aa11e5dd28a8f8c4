"""For those who teach with the book: arrangements of rings whose numbers stand in no book."""
