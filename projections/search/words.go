package search

import (
	"slices"
	"strings"
	"unicode"
)

// maxNameWords bounds how many words of a name are looked at.
const maxNameWords = 12

// words are the words of a name as they are compared: without case, accents
// and apostrophes, each once. Hyphens part words.
func words(name string) []string {
	var all []string
	for word := range strings.FieldsFuncSeq(plain(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if !slices.Contains(all, word) && len(all) < maxNameWords {
			all = append(all, word)
		}
	}
	return all
}

// plain is a text without case, accents and apostrophes.
func plain(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch r = unicode.ToLower(r); {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == '‘', r == 'ʼ', r == '`':
		case r < 0x80:
			b.WriteRune(r)
		default:
			if base, accented := unaccented[r]; accented {
				b.WriteString(base)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// unaccented gives the plain form of the Latin letters in which names of
// Europe, Turkey and Vietnam are written. What is not in it, such as Greek or
// Chinese, is compared as it is.
var unaccented = func() map[rune]string {
	table := map[rune]string{'ß': "ss", 'æ': "ae", 'œ': "oe", 'þ': "th", 'ð': "d", 'ı': "i", 'ĳ': "ij"}
	for base, letters := range map[string]string{
		"a": "àáâãäåāăąǎạảấầẩẫậắằẳẵặ", "c": "çćĉċč", "d": "ďđ", "e": "èéêëēĕėęěẹẻẽếềểễệ", "g": "ĝğġģ", "h": "ĥħ",
		"i": "ìíîïĩīĭįǐỉị", "j": "ĵ", "k": "ķ", "l": "ĺļľŀł", "n": "ñńņňŉ", "o": "òóôõöøōŏőơǒọỏốồổỗộớờởỡợ", "r": "ŕŗř",
		"s": "śŝşšș", "t": "ţťŧț", "u": "ùúûüũūŭůűųưǔụủứừửữự", "w": "ŵẁẃẅ", "y": "ýÿŷỳỵỷỹ", "z": "źżž",
	} {
		for _, letter := range letters {
			table[letter] = base
		}
	}
	return table
}()

// emailKey is how an e-mail address is compared.
func emailKey(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// fewestDigits is how long a telephone number is at least.
const fewestDigits = 6

// phoneKey is how a telephone number is compared: by its digits, with the
// country's code of a British number as the zero that is dialled at home. It
// is empty for what is too short to be one.
func phoneKey(phone string) string {
	var b strings.Builder
	for _, r := range phone {
		if r >= '0' && r <= '9' {
			b.WriteRune(r)
		}
	}
	digits := b.String()
	abroad := strings.HasPrefix(strings.TrimSpace(phone), "+")
	if rest, ok := strings.CutPrefix(digits, "00"); ok {
		digits, abroad = rest, true
	}
	if rest, ok := strings.CutPrefix(digits, "44"); ok && abroad {
		digits = "0" + strings.TrimLeft(rest, "0")
	}
	if len(digits) < fewestDigits {
		return ""
	}
	return digits
}
