package domain

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// UPRN is a unique property reference number: one to twelve digits, kept as
// text because it is a name and not a number.
type UPRN string

// Zone is a permit zone. The empty zone means that no permits are sold.
type Zone string

// Property is one address as the gazetteer knows it.
type Property struct {
	UPRN     UPRN   `json:"uprn"`
	House    string `json:"house"`
	Street   string `json:"street"`
	Postcode string `json:"postcode"`
}

// ParseUPRN reads a property reference: one to twelve digits and nothing else.
func ParseUPRN(s string) (UPRN, error) {
	if _, ok := digits(s); !ok || len(s) == 0 || len(s) > 12 {
		return "", errors.New("a property reference (UPRN) has 1 to 12 digits: look the property up by its postcode")
	}
	return UPRN(s), nil
}

// postcode is the shape of a British postcode with its space left out. The
// letters that the Post Office does not use in a position are not in it.
var postcode = regexp.MustCompile(`^(?:` +
	`GIR|` +
	`[A-PR-UWYZ](?:` +
	`[0-9]{1,2}|` + // M1, B33
	`[0-9][ABCDEFGHJKPSTUW]|` + // W1A
	`[A-HK-Y][0-9]{1,2}|` + // LE1, LE11
	`[A-HK-Y][0-9][ABEHMNPRVWXY]` + // EC1A
	`)) *[0-9][ABD-HJLNP-UW-Z]{2}$`)

// ParsePostcode reads a postcode and writes it in upper case with one space
// before its last three characters. The whole text must be a postcode.
func ParsePostcode(s string) (string, error) {
	text := strings.Trim(s, " ")
	for i := range len(text) {
		// Before changing case: some letters outside ASCII have an ASCII capital.
		if text[i] >= 0x80 {
			return "", notPostcode(s)
		}
	}
	text = strings.ToUpper(text)
	if !postcode.MatchString(text) {
		return "", notPostcode(s)
	}
	inward := len(text) - 3
	return strings.TrimRight(text[:inward], " ") + " " + text[inward:], nil
}

func notPostcode(s string) error {
	return fmt.Errorf("%q is not a postcode: enter one such as LE11 1AA", s)
}
