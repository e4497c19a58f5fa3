package node

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"
)

// TestExpressionMeansTheSameAsInDotNet holds expressions against names. Each
// answer is the one of System.Text.RegularExpressions.
func TestExpressionMeansTheSameAsInDotNet(t *testing.T) {
	for _, tc := range []struct {
		expression string
		found      []string
		notFound   []string
	}{
		{`permit`, []string{"permit-1", "a permit"}, []string{"Permit", ""}},
		{`^permit-`, []string{"permit-1"}, []string{"a permit-1", "x\npermit-1"}},
		{`-1$`, []string{"a-1", "a-1\n"}, []string{"a-12", "a-1\n\n", "a-1\nb"}},
		{`-1\z`, []string{"a-1"}, []string{"a-1\n"}},
		{`a$\n`, []string{"a\n"}, []string{"a", "a\n\n", "a\nb"}},
		{`a\nb$`, []string{"a\nb", "a\nb\n"}, []string{"a\nb\n\n"}},
		{`a\sb$`, []string{"a\nb", "a b", "a\u2003b", "a\u0085b"}, []string{"a\u200bb"}},
		{`a.b$`, []string{"a-b"}, []string{"a\nb"}},
		{`a[^x]b$`, []string{"a\nb", "a-b"}, []string{"axb"}},
		{`a[^\n]b$`, []string{"a-b"}, []string{"a\nb"}},
		{`(?s)a.b$`, []string{"a\nb"}, []string{"ab"}},
		{`(?m)^b$`, []string{"a\nb\nc", "b"}, []string{"ab"}},
		{`(?m:^b)`, []string{"a\nb"}, []string{"ab"}},
		{`$^`, []string{""}, []string{"a"}},
		{`\d`, []string{"7", "\u0667"}, []string{"\u00B2", "x", ""}},
		{`^\D$`, []string{"x", "x\n"}, []string{"\u0667", "7"}},
		{`^\w+$`, []string{"aB_9", "日本", "e\u0301", "\u203F"}, []string{"a-b", "\U0001D400", "\u2160"}},
		{`^\W$`, []string{"-", " "}, []string{"\u00E9", "\U0001F600"}},
		{`^\W\W$`, []string{"\U0001F600", "--"}, []string{"é-"}},
		{`^..$`, []string{"\U0001F600", "ab"}, []string{"é"}},
		{"^\U0001F600+$", []string{"\U0001F600"}, []string{"\U0001F600\U0001F600"}},
		{`^\uD83D\uDE00$`, []string{"\U0001F600"}, []string{"\U0001F601"}},
		{`^\p{Cs}{2}$`, []string{"\U0001F600"}, []string{"ab", "\uE000\uE000"}},
		{`^[\W\d]$`, []string{"-", "7", "\u0667"}, []string{"x", "é"}},
		{`^[^\W\d]$`, []string{"x", "é"}, []string{"-", "7"}},
		{`^[\D]$`, []string{"x"}, []string{"7", "\u0667"}},
		{`^[\S]+$`, []string{"x"}, []string{"x\u2003"}},
		{`^\p{Lu}\P{Lu}$`, []string{"Éa", "A-"}, []string{"aa", "AA"}},
		{`^\p{Co}$`, []string{"\uE000"}, []string{"\U000F0000"}},
		{`^[a-c-e]+$`, []string{"ab-e"}, []string{"d"}},
		{`^[]a]+$`, []string{"]a"}, []string{"[", ""}},
		{`^[^]a]+$`, []string{"b["}, []string{"]", "a"}},
		{`^[-a]+[a-]$`, []string{"-a-"}, []string{"b"}},
		{`^[\b]$`, []string{"\b"}, []string{"b"}},
		{`^[\u0000-\uFFFF]{2}$`, []string{"ab", "\U0001F600"}, []string{"a"}},
		{`^[\x41-\x43\cJ\t]+$`, []string{"ABC", "A\n", "A\t"}, []string{"D"}},
		{`^\x41\u0042\e\cI$`, []string{"AB\x1B\t"}, []string{"AB"}},
		{`^a{2}b{1,}c{0,2}$`, []string{"aab", "aabbcc"}, []string{"ab", "aabccc"}},
		{`^a{,2}$`, []string{"a{,2}"}, []string{"aa", ""}},
		{`^a{x}]$`, []string{"a{x}]"}, []string{"a"}},
		{`a+?b*?c??`, []string{"aabbc"}, []string{"bc"}},
		{`^(a|b|)c$`, []string{"ac", "bc", "c"}, []string{"abc"}},
		{`^(?:a(b)?)+(?<name>c)(?'other'd)$`, []string{"aabcd"}, []string{"acb"}},
		{`^(?#a comment)a$`, []string{"a"}, []string{"b"}},
		{`(?i)^permit-[a-c]$`, []string{"PERMIT-B", "permit-a"}, []string{"permit-d"}},
		{`(?i)^k$`, []string{"k", "K", "\u212A"}, []string{"x"}},
		{`(?i)^s$`, []string{"s", "S"}, []string{"\u017F"}},
		{`^(?i:a)b(?i)c$`, []string{"Abc", "abC"}, []string{"aBc"}},
		{`^a(?i)b|c$`, []string{"aB", "xC"}, []string{"A"}},
		{`^((?i)a)b$`, []string{"Ab"}, []string{"AB"}},
		{`(?i)^[^a]$`, []string{"b"}, []string{"a", "A"}},
		{`(?in-s:^a.$)`, []string{"Ab"}, []string{"a\n\n"}},
		{`^\$\^\.\*\+\?\(\)\[\]\{\}\|\\\-/ #$`, []string{`$^.*+?()[]{}|\-/ #`}, []string{""}},
		{`^[^\$].*`, []string{"permit"}, []string{"$system", ""}},
		{`(^|-)*a`, []string{"--a", "a"}, []string{"b"}},
	} {
		match, err := compileExpression(tc.expression)
		if err != nil {
			t.Errorf("%s: %v", tc.expression, err)
			continue
		}
		for _, name := range tc.found {
			if !match(name) {
				t.Errorf("%s: not found in %q", tc.expression, name)
			}
		}
		for _, name := range tc.notFound {
			if match(name) {
				t.Errorf("%s: found in %q", tc.expression, name)
			}
		}
	}
}

// TestUnsupportedExpressionIsRefusedByName names the construct, also in the
// answer of the server.
func TestUnsupportedExpressionIsRefusedByName(t *testing.T) {
	s := stub(t, openNode(t, Options{}))
	for expression, name := range map[string]string{
		`[a-z-[aeiou]]`: "class subtraction", `[\w-[\d]]`: "class subtraction", `[a-[b]]`: "class subtraction",
		`a(?=b)`: "look-ahead", `a(?!b)`: "look-ahead", `(?<=a)b`: "look-behind", `(?<!a)b`: "look-behind",
		`(a)\1`: "back-reference", `(?<n>a)\k<n>`: "back-reference", `(?>a+)`: "atomic group",
		`a\Z`: `\Z`, `\ba`: `\b`, `a\B`: `\B`, `\Ga`: `\G`, `[[:alpha:]]`: "POSIX class", `\Qa\E`: `\Q`, `\E`: `\E`,
		`(?U)a+`: "(?U)", `(?x) a`: "(?x)", `(?P<n>a)`: "(?P", `(?<a-b>x)`: "balancing group", `(?(a)b|c)`: "condition",
		`\p{IsGreek}`: `\p{IsGreek}`, `\p{Greek}`: `\p{Greek}`, `\p{C}`: `\p{C}`, `\012`: "octal escape", `[\1]`: "octal escape",
		`(?i)é`: "(?i) with letters beyond ASCII", `(?i)[à-ü]`: "(?i) with letters beyond ASCII", `(?i)\p{Lu}`: `(?i) with \p{Lu}`,
		"[\U0001F600]": "beyond U+FFFF", `[\d-x]`: "a - after a class", `(?m:^a)b$`: "beside ^ or $ under (?m)",
	} {
		_, err := compileExpression(expression)
		if _, ok := errors.AsType[*unsupportedError](err); !ok || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want %s to be named", expression, err, name)
		}
		_, st := rawReadStatus(t, s, readOptions(filtered(prefixes(), func(f *streams.ReadReq_Options_FilterOptions) {
			f.GetStreamIdentifier().Regex = expression
		})))
		if st.Code() != codes.InvalidArgument || !strings.Contains(st.Message(), name) {
			t.Errorf("%s: the server says %v", expression, st)
		}
	}
}

// TestMalformedExpressionIsRefused refuses as .NET does.
func TestMalformedExpressionIsRefused(t *testing.T) {
	for _, expression := range []string{
		`(`, `)`, `a)`, `(a`, `[a`, `[]`, `[^]`, `*a`, `a**`, `a*+`, `a{2}{3}`, `a|*`, `(*a)`, `\`, `[\`, `\q`, `\_`, `\pL`, `\p{L`, `\x4`, `\x{41}`, `\u004`,
		`\c1`, `[b-a]`, `[a-\d]`, `(?<>a)`, `(?<a`, `(?a`, `(?`, `(?i`, `(?#a`, `a{2000}`, "\xff", strings.Repeat("(", 2*maxDepth),
	} {
		if _, err := compileExpression(expression); err == nil {
			t.Errorf("%s was taken", expression)
		}
	}
}

// TestPlainExpressionIsTheSameInBothLanguages compares with the package regexp
// where the two mean the same.
func TestPlainExpressionIsTheSameInBothLanguages(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "b", "-", "1", ".", "^", `\z`, "[ab]", "[^b1]", "[a-b-]", "(a|b)", "(?:a|)", "a*", "b+?", "1?", "-{1,2}", "|", `\.`, `\x61`})
	letter := rapid.SampledFrom([]string{"a", "b", "-", "1", ".", "\n"})
	rapid.Check(t, func(t *rapid.T) {
		source := strings.Join(rapid.SliceOfN(piece, 0, 6).Draw(t, "expression"), "")
		name := strings.Join(rapid.SliceOfN(letter, 0, 6).Draw(t, "name"), "")
		match, err := compileExpression(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if want := regexp.MustCompile(source).MatchString(name); match(name) != want {
			t.Fatalf("%s in %q: got %t", source, name, !want)
		}
	})
}
