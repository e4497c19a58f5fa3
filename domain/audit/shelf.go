package audit

import "hash/maphash"

// key is a name in 8 bytes, for a summary has one for each thing that it
// refers to. Two names of a million have the same key with a chance of one in
// thirty million, and nobody can choose such names: the hash differs from run
// to run. The key of no name is 0.
type key uint64

var seed = maphash.MakeSeed()

func keyOf[S ~string](name S) key {
	if name == "" {
		return 0
	}
	return key(maphash.String(seed, string(name)))
}

// shelf keeps summaries by key. They lie close together in chunks, and only
// their places are in a map: a map of the summaries themselves would keep
// almost as much room empty as it fills.
type shelf[T any] struct {
	places map[key]uint32
	chunks [][]T
}

// chunkLength is how many summaries are made room for at a time.
const chunkLength = 1024

// at gives the summary of a key, a zero one when there was none. It stays
// where it is.
func (s *shelf[T]) at(k key) *T {
	if place, ok := s.places[k]; ok {
		return &s.chunks[place/chunkLength][place%chunkLength]
	}
	if s.places == nil {
		s.places = map[key]uint32{}
	}
	n := len(s.places)
	if n%chunkLength == 0 {
		s.chunks = append(s.chunks, make([]T, 0, chunkLength))
	}
	s.places[k] = uint32(n)
	chunk := &s.chunks[n/chunkLength]
	var zero T
	*chunk = append(*chunk, zero)
	return &(*chunk)[len(*chunk)-1]
}

// find gives a copy of the summary of a key, and the zero one when there is
// none.
func (s *shelf[T]) find(k key) (v T) {
	if place, ok := s.places[k]; ok {
		v = s.chunks[place/chunkLength][place%chunkLength]
	}
	return v
}
