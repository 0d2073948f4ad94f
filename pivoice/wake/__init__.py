"""Who is being called: wake-word engines and the policy around them."""
