"""Networks of the quantities: policies, their value transforms, one network per quantity."""
