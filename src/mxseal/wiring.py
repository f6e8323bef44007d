"""Settings → adapters → journeys: the only file that knows all of them."""
