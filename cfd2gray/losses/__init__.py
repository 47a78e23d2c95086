"""The terms of the objective. Each returns one scalar; `total` names and weighs them."""
