"""Pure policies: who to ask, when to stop asking, how long to wait. Time and chance come in as arguments."""
