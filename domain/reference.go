package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strings"
)

// crockford is Crockford's base 32: no I, L, O or U, so that a reference can
// be read out on the telephone.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Reference is what people call the permit: P-7K4M-9QXD-3F.
func (id PermitID) Reference() string { return reference('P', string(id)) }

// Reference is what people call the dispute: D-7K4M-9QXD-3F.
func (id DisputeID) Reference() string { return reference('D', string(id)) }

// reference makes nine signs of 45 bits and a check sign. The bits are those
// of a hash and not of the id itself: some bits of a UUID are fixed and others
// may be a time, and a reference should neither tell that nor be alike for
// permits made together.
func reference(prefix byte, id string) string {
	hash := sha256.Sum256([]byte(id))
	bits := binary.BigEndian.Uint64(hash[:8]) >> (64 - 45)
	var signs [10]byte
	for i := 8; i >= 0; i-- {
		signs[i] = crockford[bits&31]
		bits >>= 5
	}
	signs[9] = crockford[times7(remainder(signs[:9]))]
	return group(prefix, signs[:])
}

func group(prefix byte, signs []byte) string {
	return string(prefix) + "-" + string(signs[:4]) + "-" + string(signs[4:8]) + "-" + string(signs[8:])
}

// remainder weighs the signs in the field of 32 elements, the last by 1, the
// one before by 7, the one before that by 7·7 and so on, and adds them up. A
// whole reference adds up to zero. The ten weights are different and none is
// zero, so one wrong sign, or any two different signs that changed places,
// never add up to zero again: a check sign modulo 32 would miss some swaps,
// and one modulo 37 needs signs that are not letters.
func remainder(signs []byte) byte {
	var sum byte
	for _, sign := range signs {
		sum = times7(sum) ^ byte(strings.IndexByte(crockford, sign))
	}
	return sum
}

// times7 multiplies by the element 7 in the field of 32 elements, reduced by
// x⁵+x⁴+x²+x+1. Any multiplier but 0 and 1 would do; with this one the
// reference in the documentation is a valid one.
func times7(a byte) byte {
	product := a ^ a<<1 ^ a<<2 // 7 = 1 + x + x²
	if product&0x40 != 0 {
		product ^= 0b110111 << 1
	}
	if product&0x20 != 0 {
		product ^= 0b110111
	}
	return product
}

var errReference = errors.New("this is not a reference: enter it as it stands on the permit, such as P-7K4M-9QXD-3F")

// ParseReference reads a reference as people type it and gives it as it is
// written. Case, spaces and hyphens do not matter, O is read as zero and I and
// L as one. A mistyped sign is found by the check sign.
func ParseReference(s string) (string, error) {
	var signs []byte
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c != ' ' && c != '-' {
			signs = append(signs, c)
		}
		if len(signs) > 11 {
			return "", errReference
		}
	}
	if len(signs) != 11 || signs[0] != 'P' && signs[0] != 'D' {
		return "", errReference
	}
	prefix, signs := signs[0], signs[1:]
	for i, c := range signs {
		switch c {
		case 'O':
			signs[i] = '0'
		case 'I', 'L':
			signs[i] = '1'
		}
		if strings.IndexByte(crockford, signs[i]) < 0 {
			return "", errReference
		}
	}
	if remainder(signs) != 0 {
		return "", errors.New("this reference has a mistyped character: compare it with the permit")
	}
	return group(prefix, signs), nil
}
