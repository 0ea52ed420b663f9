package systemd

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// settings reads a unit file: "Section.Key" to its assignments in order.
func settings(t *testing.T, name string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string][]string{}
	section := ""
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			k, v, ok := strings.Cut(line, "=")
			if !ok || section == "" {
				t.Fatalf("%s:%d: no assignment: %s", name, i+1, line)
			}
			m[section+"."+k] = append(m[section+"."+k], v)
		}
	}
	return m
}

// The unit is part of the product's promises: whoever changes one of these lines
// changes a promise, and says so here.
func TestUnitKeepsThePromises(t *testing.T) {
	const config = " --config /etc/actuatord/actuatord.toml"
	got := settings(t, "actuatord.service")
	for key, want := range map[string][]string{
		"Unit.StartLimitIntervalSec":      {"0"}, // started again for ever
		"Unit.ConditionPathExists":        {"/etc/actuatord/actuatord.toml", "/etc/actuatord/connection-string"},
		"Unit.After":                      {"network.target", "modprobe@i2c_dev.service"}, // never network-online: a dead link must not hold it up
		"Service.Type":                    {"notify"},
		"Service.NotifyAccess":            {"main"},
		"Service.Restart":                 {"always"},
		"Service.ExecStart":               {"/usr/bin/actuatord run" + config},
		"Service.ExecStopPost":            {"/usr/bin/actuatord safe" + config}, // no '-': its failure is to be seen
		"Service.User":                    {"actuatord"},
		"Service.SupplementaryGroups":     {"gpio i2c"},
		"Service.StateDirectory":          {"actuatord"},
		"Service.RuntimeDirectory":        {"actuatord"},
		"Service.RuntimeDirectoryMode":    {"0700"}, // it holds the key after a reload
		"Service.StateDirectoryMode":      {"0750"}, // its socket is for the group; its files are not (UMask)
		"Service.UMask":                   {"0077"},
		"Service.LoadCredential":          {"connection-string:/etc/actuatord/connection-string"},
		"Service.LimitCORE":               {"0"},
		"Service.DevicePolicy":            {"closed"},
		"Service.DeviceAllow":             {"char-gpiochip rw", "char-i2c rw"},
		"Service.ProtectSystem":           {"strict"},
		"Service.CapabilityBoundingSet":   {""},
		"Service.AmbientCapabilities":     {""},
		"Service.NoNewPrivileges":         {"yes"},
		"Service.RestrictAddressFamilies": {"AF_UNIX AF_INET AF_INET6"},
		"Service.SystemCallFilter":        {"@system-service", "~@privileged @setuid @keyring @memlock @resources", "adjtimex"},
		"Service.PrivateUsers":            {"yes"},
		"Service.ProcSubset":              {"pid"},
		"Service.IPAddressDeny":           {"any"}, // one machine at a time, wherever it is
		"Service.IPAddressAllow":          {"0.0.0.0/1 128.0.0.0/2 192.0.0.0/3", "::1 2000::/3 64:ff9b::/32 fc00::/7 fe80::/10"},
	} {
		if !slices.Equal(got[key], want) {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
	for _, key := range []string{"Service.PrivateDevices", "Service.ProtectClock", "Unit.Requires", "Service.EnvironmentFile", "Service.RuntimeDirectoryPreserve"} {
		if v, set := got[key]; set {
			t.Errorf("%s = %q: hides the devices, forbids adjtimex, couples a start to another's, leaks the key into /proc, or keeps an old one", key, v)
		}
	}
}

// Safe within 45 s of a hang: seen after WatchdogSec, killed after
// TimeoutAbortSec, and `actuatord safe` is done 5 s later.
func TestHangIsBounded(t *testing.T) {
	u := settings(t, "actuatord.service")
	sum := 5 * time.Second
	for _, key := range []string{"Service.WatchdogSec", "Service.TimeoutAbortSec"} {
		if len(u[key]) != 1 {
			t.Fatalf("%s = %q", key, u[key])
		}
		d, err := time.ParseDuration(u[key][0] + "s")
		if err != nil || d <= 0 {
			t.Fatalf("%s = %q: %v", key, u[key], err)
		}
		sum += d
	}
	if sum > 45*time.Second {
		t.Errorf("a hung daemon leaves outputs alone for %v", sum)
	}
}

// The growing pause lives apart from the unit, which must stay silent on systemd
// 252; both must say what the issue asks of them.
func TestRestartPause(t *testing.T) {
	unit, dropIn := settings(t, "actuatord.service"), settings(t, "restart-254.conf")
	for key := range dropIn {
		if key != "Service.RestartSec" && unit[key] != nil {
			t.Errorf("the unit sets %s, which systemd 252 does not know", key)
		}
	}
	for key, want := range map[string]string{
		"Service.RestartSec": "2", "Service.RestartSteps": "8", "Service.RestartMaxDelaySec": "5min",
	} {
		if !slices.Equal(dropIn[key], []string{want}) {
			t.Errorf("drop-in: %s = %q, want %s", key, dropIn[key], want)
		}
	}
	if len(unit["Service.RestartSec"]) != 1 {
		t.Errorf("unit: RestartSec = %q", unit["Service.RestartSec"])
	}
}

// A reload copies the very file that the credential is made of, for the daemon's user
// alone, into the directory that goes away at a stop; and signals after that. With
// the drop-in systemd waits for the answer.
func TestReload(t *testing.T) {
	u := settings(t, "actuatord.service")
	_, file, _ := strings.Cut(u["Service.LoadCredential"][0], ":")
	copied := "/run/" + u["Service.RuntimeDirectory"][0] + "/connection-string"
	want := []string{
		"+/usr/bin/install -T -m 0600 -o " + u["Service.User"][0] + " -g " + u["Service.Group"][0] + " " + file + " " + copied,
		"/bin/kill -HUP $MAINPID",
	}
	if got := u["Service.ExecReload"]; !slices.Equal(got, want) {
		t.Errorf("ExecReload = %q, want %q", got, want)
	}
	if got := settings(t, "reload-254.conf"); len(got) != 1 || !slices.Equal(got["Service.Type"], []string{"notify-reload"}) {
		t.Errorf("reload-254.conf sets %q, want only Type=notify-reload", got)
	}
}

// Every group that the unit lends is made by the sysusers file and given its
// devices by a udev rule; a name that differs in one of the three is a service
// that starts and cannot open a line.
func TestGroupsAgree(t *testing.T) {
	u := settings(t, "actuatord.service")
	users, rules := read(t, "actuatord.sysusers"), read(t, "60-actuatord.rules")
	groups := strings.Fields(strings.Join(u["Service.SupplementaryGroups"], " "))
	if len(groups) == 0 {
		t.Fatal("the unit lends no groups")
	}
	for _, g := range groups {
		if !regexp.MustCompile(`(?m)^g ` + g + ` - -$`).MatchString(users) {
			t.Errorf("sysusers makes no group %s", g)
		}
		if !regexp.MustCompile(`(?m)^SUBSYSTEM=="[a-z0-9-]+", KERNEL=="[^"]+", GROUP="` + g + `", MODE="0660"$`).MatchString(rules) {
			t.Errorf("no udev rule gives group %s its devices", g)
		}
	}
	if user := u["Service.User"][0]; !regexp.MustCompile(`(?m)^u ` + user + ` - `).MatchString(users) {
		t.Errorf("sysusers makes no user %s", user)
	}
}

// TestPWMDropIn opens /sys to the daemon's user, and nothing else.
func TestPWMDropIn(t *testing.T) {
	got, unit := settings(t, "pwm.conf"), settings(t, "actuatord.service")
	if want := []string{"no"}; len(got) != 1 || !slices.Equal(got["Service.ProtectKernelTunables"], want) || unit["Service.ProtectKernelTunables"][0] != "yes" {
		t.Errorf("pwm.conf sets %v; want ProtectKernelTunables=no alone, which the unit has at yes", got)
	}
}

// Each block of the unit argues for itself: a setting without a reason is the
// first that somebody removes. A comment covers the lines up to the next comment.
func TestSettingsHaveReasons(t *testing.T) {
	for _, name := range []string{"actuatord.service", "restart-254.conf", "reload-254.conf", "pwm.conf"} {
		bare := 0
		for i, line := range strings.Split(read(t, name), "\n") {
			switch {
			case strings.HasPrefix(line, "#"):
				bare = 0
			case strings.HasPrefix(line, "["):
				bare = 0
			case strings.Contains(line, "="):
				if bare++; bare > 7 {
					t.Errorf("%s:%d: setting %d since the last comment: %s", name, i+1, bare, line)
				}
			}
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Clean(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
