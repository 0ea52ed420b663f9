package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"actuatord/agent/command"
	"actuatord/persist"
)

// storageRetry is how often a journal that cannot be opened is tried again
// (design §5, storage).
const storageRetry = 30 * time.Second

// openJournal opens the journal, or keeps the outputs safe and tries again for
// as long as the storage is what is wrong. The opening runs outside: proving a
// large journal takes longer than the watchdog waits.
func (a *Agent) openJournal(ctx context.Context) error {
	why := errors.New("it is being opened")
	for {
		err := a.tryJournal(ctx, why)
		if err == nil && a.journal != nil {
			err = a.recover() // nothing has moved yet, so a full disk is no worse here than before
		}
		if err != nil && a.journal != nil {
			err = errors.Join(err, a.journal.Close())
			a.journal, a.pending = nil, pending{}
		}
		if err == nil || ctx.Err() != nil {
			if a.journal != nil {
				a.clear(command.AlarmStorage)
				a.notify(a.o.Notify.Ready())
			}
			return nil
		}
		var storage *persist.StorageError
		if !errors.As(err, &storage) {
			return err // a person has to do something first
		}
		why = err
		a.raise(command.AlarmStorage, err.Error())
		a.log.Error("the journal cannot be used: outputs stay safe, nothing is carried out, messages stay on the hub", "error", err, "again", storageRetry)
		a.notify(a.o.Notify.Ready()) // a full disk must not become a restart loop
		a.notify(a.o.Notify.Status(fmt.Sprintf("storage: %v", err)))
		again := make(chan struct{})
		timer := time.AfterFunc(storageRetry, func() { close(again) })
		a.idle(ctx, again, err)
		timer.Stop()
	}
}

// tryJournal makes one attempt. The journal that it may bring even though ctx
// has ended is kept, to be closed.
func (a *Agent) tryJournal(ctx context.Context, why error) (err error) {
	opened := make(chan struct{})
	now := a.now()
	go func() {
		defer close(opened)
		a.journal, a.opened, err = a.o.Open(ctx, now)
		if err != nil {
			a.journal = nil
			return
		}
		if err = a.journal.Probe(now); err != nil {
			err = errors.Join(err, a.journal.Close())
			a.journal = nil
		}
	}()
	a.idle(ctx, opened, why)
	<-opened // it ends soon after ctx does
	return err
}

// idle waits until wake is closed or ctx ends, with the watchdog fed and people
// answered.
func (a *Agent) idle(ctx context.Context, wake <-chan struct{}, why error) {
	for {
		var beat <-chan time.Time
		if !a.pulse.at.IsZero() {
			beat = time.After(time.Until(a.pulse.at))
		}
		select {
		case <-ctx.Done():
			return
		case <-wake:
			return
		case fn := <-a.events:
			if err := fn(); err != nil {
				a.log.Error("while the journal is not there", "error", err)
			}
		case r := <-a.o.Control:
			a.answerWithoutJournal(r, why)
		case now := <-beat:
			a.beat(now)
		}
	}
}
