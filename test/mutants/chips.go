package main

// chips are faults in what is written to expanders and PWM, and when.
func chips() []mutant {
	const (
		chip, pca      = "board/expander/chip.go", "board/expander/pca9685.go"
		sweep     test = "./board/expander TestFaultsAtEveryTransfer"
		reset     test = "./board/expander TestReset"
	)
	return []mutant{
		{
			"an expander's lines become outputs before their latch is written",
			[]edit{
				{chip, "if err := c.regs.latch(w, port, byte(want.latch>>(8*port))); err != nil {", "if err := error(nil); err != nil && port > 9 {"},
				{chip, "\tif err := c.prove(w, want); err != nil {\n\t\treturn err\n\t}\n\twant.inputs", "\twant.inputs"},
			},
			[]test{sweep},
		},
		{
			"an expander's write is not read back",
			[]edit{{chip, "if err := c.compare(w, j, found); err != nil {", "if err := c.compare(w, j, found); err != nil && j == nil {"}},
			[]test{"./board/expander TestPulledPin"},
		},
		{
			"a line whose way to safety failed is taken away again with its neighbour",
			[]edit{{chip, "c.doubt|bit, c.held.latch&^bit|c.safe&bit", "c.doubt|bit, c.held.latch"}},
			[]test{"./board/expander TestADoubtedLine"},
		},
		{
			"what nobody waits for any more takes a line away all the same",
			[]edit{{chip, "away && j.givenUp.Load()", "away && j == nil"}},
			[]test{"./board/expander TestAHangIsBounded"},
		},
		{
			"an expander that was reset is set up anew and nobody is told",
			[]edit{{chip, "c.known, c.lost = false, c.ours", "c.known = false"}},
			[]test{reset},
		},
		{
			"no output is asked whether it is as it was left",
			[]edit{{"board/output.go", "o.check = now.Add(checkEvery)", "_ = checkEvery"}},
			[]test{"./board/expander TestResetAtEveryStep"},
		},
		{
			"a dying bus is tried for every output",
			[]edit{{"board/expander/link.go", "l.spent >= allowance", "l.spent < 0"}},
			[]test{"./board/expander TestADyingBusCostsOthersLittle"},
		},
		{
			"a PCA9685 wakes before its channels are safe",
			[]edit{{pca, "if err := c.makeSafe(w); err != nil {", "if err := error(nil); err != nil {"}},
			[]test{"./board/expander TestLevelFaultsAtEveryTransfer"},
		},
		{
			"a shorter period is written before its duty",
			[]edit{{"board/linux/pwm.go", "if old > p.period {", "if old < p.period {"}},
			[]test{"./board/linux TestPWMSequence"},
		},
	}
}
