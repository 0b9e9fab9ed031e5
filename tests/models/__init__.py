"""What is common to the models of both checkers, and the tests of the models."""
