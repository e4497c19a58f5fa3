package story_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"permitledger/domain"
	"permitledger/eventstore"
	"permitledger/projections/story"
)

// keys open every personal part as the same bytes, or say that it was erased.
type keys struct {
	plain  []byte
	erased bool
}

func (k keys) Seal(domain.AccountID, []byte, []byte) (string, []byte, error) {
	panic("nothing is sealed")
}

func (k keys) Erasures() uint64 { return 0 }

func (k keys) Open(string, []byte, []byte) ([]byte, bool, error) { return k.plain, k.erased, nil }

// Every type of event that there is has a summary, in which nothing is left of
// what was sealed: it is the same once that is erased.
func TestEveryEventHasASummary(t *testing.T) {
	for _, name := range eventstore.Types() {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("..", "..", "eventstore", "testdata", "events", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var stored struct {
				Metadata, Data json.RawMessage
				PersonalOpened json.RawMessage
			}
			if err := json.Unmarshal(raw, &stored); err != nil {
				t.Fatal(err)
			}
			summary := func(k keys) string {
				e, err := eventstore.NewCodec(k).Decode(eventstore.Recorded{ID: uuid.New(), Stream: "permit-1", Type: name,
					Data: stored.Data, Metadata: stored.Metadata})
				if err != nil {
					t.Fatal(err)
				}
				return story.Summary(e.Body)
			}
			open := summary(keys{plain: stored.PersonalOpened})
			if open == "" || !strings.HasSuffix(open, ".") || strings.Contains(open, "%!") {
				t.Errorf("its summary is %q", open)
			}
			if erased := summary(keys{erased: true}); erased != open {
				t.Errorf("erased it is summed up as %q, and before as %q", erased, open)
			}
		})
	}
}
