package main

// The sweeps that hold the promises.
const (
	journalSweep test = "./persist TestPowerLoss"
	killSweep    test = "./agent TestKillAtEveryEdge"
	powerSweep   test = "./agent TestPowerLoss"
	failSweep    test = "./agent TestFailingDisk"

	disabledSweep test = "./persist TestDisabledPowerLoss"
	readSweep     test = "./board TestEveryReadFails"
)

// durability are faults in what is on the disk, each as small as it is easily made.
func durability() []mutant {
	return []mutant{
		{
			"an entry of the log is not flushed",
			[]edit{{"persist/log.go", "retry(func() error { return unix.Fdatasync(int(l.file.Fd())) })", "retry(func() error { return unix.Access(l.path, unix.F_OK) })"}},
			[]test{journalSweep},
		},
		{
			"an entry of the log is not flushed, seen from the whole agent",
			[]edit{{"persist/log.go", "retry(func() error { return unix.Fdatasync(int(l.file.Fd())) })", "retry(func() error { return unix.Access(l.path, unix.F_OK) })"}},
			[]test{powerSweep},
		},
		{
			"the log begins anew although bbolt has not committed",
			[]edit{{"persist/commit.go", "if err := tx.Commit(); err != nil {", "if err := tx.Rollback(); err != nil {"}},
			[]test{journalSweep},
		},
		{
			"bbolt's commit is not flushed",
			[]edit{{"persist/open.go", "db.AllocSize = allocSize\n", "db.AllocSize = allocSize\n\tdb.NoSync = true\n"}},
			[]test{journalSweep},
		},
		{
			"bbolt's commit is not flushed, seen from the whole agent",
			[]edit{{"persist/open.go", "db.AllocSize = allocSize\n", "db.AllocSize = allocSize\n\tdb.NoSync = true\n"}},
			[]test{powerSweep},
		},
		{
			"a new journal's directory is not flushed",
			[]edit{{"persist/create.go", `{"sync directory", func() error { return syncDir(s.path) }},`, `{"sync directory", func() error { return nil }},`}},
			[]test{journalSweep},
		},
		{
			"outcome and report are two commits",
			[]edit{
				{"persist/batch.go", "\tclean bool\n", "\tclean bool\n\tafter []command.Report\n"},
				{"persist/batch.go", "\tb.record(r)\n\tb.Report(rep)\n}", "\tb.record(r)\n\tb.after = append(b.after, rep)\n}"},
				{"persist/batch.go", "\tif err == nil {\n\t\t*b = Batch{}\n\t}\n\treturn err\n", "\tif err == nil {\n\t\tafter := b.after\n\t\t*b = Batch{}\n\t\tfor _, rep := range after {\n\t\t\tb.Report(rep)\n\t\t}\n\t\treturn j.Commit(b)\n\t}\n\treturn err\n"},
			},
			[]test{powerSweep},
		},
		{
			"a commit that failed is taken for not written",
			[]edit{
				{"persist/commit.go", "\t\tj.tx = nil\n\t\treturn 0, err\n", "\t\tj.tx, _ = j.db.Begin(true)\n\t\treturn 0, err\n"},
				{"persist/commit.go", "\t\tj.dead = fmt.Errorf(\"%s: %w\", what, storage(j.path, err))\n\t\treturn j.dead\n", "\t\treturn fmt.Errorf(\"%s: %w\", what, storage(j.path, err))\n"},
				{"agent/pending.go", "\t\t\treturn unknown(err)\n\t\t}\n\t\ta.o.Edge(\"after commit\")", "\t\t\ta.pending = p\n\t\t\treturn nil\n\t\t}\n\t\ta.o.Edge(\"after commit\")"},
			},
			[]test{failSweep},
		},
	}
}

// order are faults in what follows what.
func order() []mutant {
	return []mutant{
		{
			"the PUBACK leaves before the record",
			[]edit{{"agent/pending.go", "if p.urgent.IsZero() {\n\t\tfn()\n\t\treturn\n\t}\n\tp.settled = append(p.settled, fn)", "fn()"}},
			[]test{killSweep},
		},
		{
			"started is not written before a once-only edge",
			[]edit{{"agent/commands.go", "a.pending.batch.Start(it.life.Record)\n\tif err := a.commit(); err != nil {\n\t\treturn nil, err\n\t}\n", ""}},
			[]test{killSweep},
		},
		{
			"an interrupted pulse is tried again",
			[]edit{{"agent/command/life.go", "case r.OnceOnly:\n\t\tr.State, r.Reason = Interrupted, CutOff", "case false:\n\t\tr.State, r.Reason = Interrupted, CutOff"}},
			[]test{killSweep},
		},
		{
			"the look-up forgets what is not committed yet",
			[]edit{{"agent/commands.go", "rec, known := a.pending.records[key]\n", "rec, known := a.pending.records[key]\n\tknown = false\n"}},
			[]test{killSweep},
		},
		{
			"a refused message is completed over MQTT",
			[]edit{{"agent/settle.go", "if verb == command.Complete {", "if verb != command.Abandon {"}},
			[]test{killSweep},
		},
	}
}

// hands are faults in what keeps people's hands whole.
func hands() []mutant {
	return []mutant{
		{
			"what is disabled is renamed before it is flushed",
			[]edit{{"persist/disabled.go", "\t\terr = f.Sync()\n", "\t\t_, err = f.Stat()\n"}},
			[]test{disabledSweep},
		},
		{
			"the directory of what is disabled is not flushed",
			[]edit{{"persist/disabled.go", "func() error { return syncDir(path) },", "func() error { return nil },"}},
			[]test{disabledSweep},
		},
		{
			"an input that cannot be read goes on permitting",
			[]edit{{"board/input.go", "if in.state() != Active {\n\t\tk.withdraw", "if in.state() == Inactive {\n\t\tk.withdraw"}},
			[]test{readSweep},
		},
	}
}
