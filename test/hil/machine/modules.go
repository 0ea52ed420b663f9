package machine

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Module is a kernel module to be loaded at the start.
type Module struct {
	Name   string // of one that comes with the kernel; or
	Path   string // of one that does not
	Params string // as insmod takes them
}

// load answers the modules in the order in which they must be loaded, with all that
// they depend on, each once. What is built into the kernel has no file and is
// passed over, but only as a dependency: who asks for a module by name is told.
func (k Kernel) load(modules []Module) ([]Module, error) {
	files, err := k.moduleFiles()
	if err != nil {
		return nil, err
	}
	var order []Module
	seen := map[string]bool{}
	var add func(m Module) error
	add = func(m Module) error {
		name := moduleName(m.Path)
		if seen[name] {
			return nil
		}
		seen[name] = true
		needs, err := dependencies(m.Path)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if path, ok := files[n]; ok {
				if err := add(Module{Path: path}); err != nil {
					return err
				}
			}
		}
		order = append(order, m)
		return nil
	}
	for _, m := range modules {
		if m.Path == "" {
			m.Path = files[moduleName(m.Name)]
		}
		if m.Path == "" {
			return nil, fmt.Errorf("find module %s: kernel %s has none of that name", m.Name, k.Version)
		}
		if err := add(m); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// moduleFiles maps a module's name to its path.
func (k Kernel) moduleFiles() (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(k.root, "lib", "modules", k.Version), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".ko") {
			files[moduleName(path)] = path
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for modules: %w", err)
	}
	return files, nil
}

// moduleName is the name under which the kernel knows a file: it makes no
// difference between - and _.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// dependencies reads what modpost wrote into the file: "depends=a,b", in a section
// of strings that end in zero.
func dependencies(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	defer func() { _ = f.Close() }()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read module %s: it has no .modinfo", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", path, err)
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(strings.ReplaceAll(string(list), "-", "_"), ","), nil
		}
	}
	return nil, nil
}
