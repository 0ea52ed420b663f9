//go:build race

package main

// stride: under the race detector every process starts slowly, and what it could
// find is found by package agent's sweep; here it only takes samples. The runs
// without it take every cut.
const stride = 9
