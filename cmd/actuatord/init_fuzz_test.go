package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"actuatord/agent/config"
)

// FuzzInit: whatever is answered, either nothing is written, or a configuration that
// loads and a connection string that can be used, with their modes and nothing beside
// them; and the key that was asked for is not shown.
func FuzzInit(f *testing.F) {
	f.Add("", answered("sim", "pump", "GPIO17", "y", "10m", "", "y"))
	f.Add("x", answered("linux", "a\"b", "pump", "a\\b:\"1\"", "n", "", "fan", "a\\b:\"1\"", "x y", "", "none", "", ""))
	f.Add("/dev/null", answered("", "\xff", "pump", "\u202e", "ä", "", "9999999999h", "1h", "", "no"))
	f.Fuzz(func(t *testing.T, before, behind string) {
		dir := t.TempDir()
		code, out, errs := initOn(t, dir, "", before+"\n"+testString()+"\n"+behind)
		got := files(t, dir)
		if strings.Contains(out+errs, testKey()) && !strings.Contains(before+behind, testKey()) {
			t.Errorf("the key is shown: %s %s", out, errs)
		}
		if len(got) == 0 {
			if code == exitDone {
				t.Errorf("exit 0 and nothing written: %s", out)
			}
			return
		}
		if len(got) != 2 || got[0] != "actuatord.toml 644" || got[1] != "connection-string 600" {
			t.Fatalf("exit %d, %q", code, got)
		}
		c, err := config.Load(filepath.Join(dir, "etc", "actuatord.toml"))
		if err != nil {
			t.Fatalf("%v\n%s", err, written(t, dir, "actuatord.toml"))
		}
		if _, err := config.ConnectionString(c, ""); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.Hub.ConnectionStringFile); err != nil {
			t.Error(err)
		}
	})
}
