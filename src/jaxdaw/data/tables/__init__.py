"""Tables of labelled rows and of ratings, which become bandits."""
