package domain

// VRM is a normalised vehicle registration mark.
type VRM string
