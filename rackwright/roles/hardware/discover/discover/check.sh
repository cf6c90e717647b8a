# What was read last time may have been unplugged since: discovery is always done anew.
unsatisfied "a discovery reads the hardware as it is now"
