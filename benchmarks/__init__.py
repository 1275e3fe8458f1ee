"""What README says about speed, to be measured again by `make bench`."""
