package council

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"strings"
)

// gazetteerFile is the one file of the sample that a town replaces.
const gazetteerFile = "gazetteer.csv"

// MaxHouses is how many houses a town can have beside those of the sample: as
// many as there are made-up postcodes for.
const MaxHouses = 18 * 300 * perStreet

// perStreet is how many houses stand in one made-up street.
const perStreet = 60

// Town gives the sample council's folder with so many more houses in its
// zones, for histories and measurements that the sample itself is too small
// for. They are as made up as the sample's own, and the same number gives the
// same houses.
func Town(houses int) (fs.FS, error) {
	if houses < 0 || houses > MaxHouses {
		return nil, fmt.Errorf("a town has from 0 to %d houses beside the sample's", MaxHouses)
	}
	if houses == 0 {
		return Sample(), nil
	}
	gazetteer, err := files.ReadFile(gazetteerFile)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		if name == gazetteerFile {
			content = append(gazetteer, moreHouses(houses)...)
		}
		// Stored and not deflated: it is read once and thrown away.
		file, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return err
		}
		_, err = file.Write(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
}

// districts are the sample's zones with the postcode district in which each
// lies, and the first sector of the made-up postcodes there. Zones of one
// district have sectors of their own.
var districts = []struct {
	zone, district string
	sector         int
}{
	{"LB1", "LE11", 1}, {"LB2", "LE11", 2}, {"LB3", "LE11", 3}, {"LB4", "LE11", 4},
	{"MM1", "LE13", 1}, {"MM2", "LE13", 2}, {"MM3", "LE13", 3}, {"MH1", "LE16", 1}, {"MH2", "LE16", 2},
	{"WI1", "LE18", 1}, {"WI2", "LE18", 2}, {"NA1", "LE19", 1}, {"OA1", "LE2", 1}, {"OA2", "LE2", 2},
	{"AS1", "LE65", 1}, {"AS2", "LE65", 2}, {"AN1", "LE7", 1}, {"AN2", "LE7", 2},
}

// The names of made-up streets, and the letters that postcodes end with. The
// sample's own postcodes begin theirs with one of the first letters.
var (
	firstNames = strings.Fields(`Amber Bracken Cobble Damson Ember Fallow Gorse Harrow Indigo Juniper
		Kestrel Linden Mallow Nettle Otter Pippin Quarry Russet Sorrel Teasel`)
	lastNames = strings.Fields("brook combe dale fold garth holt leigh mead ridge thwaite")
	streets   = strings.Fields("Road Street Lane Close Avenue Drive")
)

const (
	unitFirst  = "DEFGHJLNPQRSTUW" // 15 letters of 20, so 300 postcodes in a sector
	unitSecond = "ABDEFGHJLNPQRSTUWXYZ"
)

// moreHouses are the lines of so many houses, street by street in one zone
// after the other.
func moreHouses(count int) []byte {
	var b bytes.Buffer
	for n := range count {
		street, number := n/perStreet, n%perStreet+1
		place, unit := districts[street%len(districts)], street/len(districts)
		name := firstNames[unit%len(firstNames)] + lastNames[unit/len(firstNames)%len(lastNames)]
		kind := streets[(street+unit/(len(firstNames)*len(lastNames)))%len(streets)]
		fmt.Fprintf(&b, "%d,%d,%s %s,%s %d%c%c,%s,,\n", 200010000001+n, number, name, kind,
			place.district, place.sector, unitFirst[unit/len(unitSecond)], unitSecond[unit%len(unitSecond)], place.zone)
	}
	return b.Bytes()
}
