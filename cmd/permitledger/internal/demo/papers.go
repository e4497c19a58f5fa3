package demo

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
)

// paper is a document as it would be uploaded.
type paper struct {
	mediaType string
	body      []byte
}

// newPaper makes a tiny document that opens in any viewer and is like no
// other: a page that says what it stands for, a scan or a photograph.
func newPaper(rng *rand.Rand, title string) (paper, error) {
	switch rng.IntN(4) {
	case 0:
		var b bytes.Buffer
		// Speckles do not compress.
		err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, speckles(rng))
		return paper{"image/png", b.Bytes()}, err
	case 1:
		var b bytes.Buffer
		err := jpeg.Encode(&b, speckles(rng), &jpeg.Options{Quality: 90})
		return paper{"image/jpeg", b.Bytes()}, err
	}
	return paper{"application/pdf", page(fmt.Sprintf("%s, sample %08x. Made up for a demonstration.", title, rng.Uint32()))}, nil
}

// speckles is a small picture of nothing.
func speckles(rng *rand.Rand) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, 16, 16))
	for y := range 16 {
		for x := range 16 {
			c := rng.Uint32()
			m.Set(x, y, color.RGBA{R: byte(c), G: byte(c >> 8), B: byte(c >> 16), A: 255})
		}
	}
	return m
}

// page is a PDF of one page with one line of text. The text must be free of
// brackets and backslashes.
func page(text string) []byte {
	content := fmt.Sprintf("BT /F1 12 Tf 40 780 Td (%s) Tj ET", text)
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
	}
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, table)
	return b.Bytes()
}
