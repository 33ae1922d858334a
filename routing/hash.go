package routing

// hashOf is a hash that is the same on every node and in every version (FNV-1a), since calls stick by it.
func hashOf[T string | []byte](s T) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// blend spreads what little differs over all bits (the finalizer of splitmix64).
func blend(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}

// SeedOf makes the seed of a call of its id.
func SeedOf(id string) uint64 { return blend(hashOf(id)) }
