package payments

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"permitledger/domain"
	"permitledger/domain/payment"
)

// Instruction tells the simulated provider what to do with a later request of
// one account.
type Instruction string

// The instructions.
const (
	Decline   Instruction = "decline"   // the next request for money is declined
	Lapse     Instruction = "lapse"     // the hold that is granted next has already ended
	Duplicate Instruction = "duplicate" // the next answer's messages come twice
	Late      Instruction = "late"      // the next request is awaited, and decided by itself an hour later
)

// Instruct queues instructions for an account; each request for a new charge
// uses up one, in order. The same command again queues nothing.
func (s *Simulator) Instruct(ctx context.Context, command string, account domain.AccountID, next []string) error {
	for _, word := range next {
		switch Instruction(word) {
		case Decline, Lapse, Duplicate, Late:
		default:
			return &UnknownInstructionError{Instruction: word}
		}
	}
	err := s.transact(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO command (id) VALUES (?) ON CONFLICT DO NOTHING`, command)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		for _, word := range next {
			if _, err := tx.ExecContext(ctx, `INSERT INTO instruction (account, word) VALUES (?, ?)`, account, word); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("payments: instruct: %w", err)
	}
	return nil
}

// takeInstruction uses up the account's next instruction, or gives none. A
// lapse is about a hold, so a request that asks for none passes it over.
func takeInstruction(ctx context.Context, tx *sql.Tx, c Charge) (Instruction, error) {
	passOver := ""
	if c.Mode != payment.ModeHold {
		passOver = string(Lapse)
	}
	var do Instruction
	err := tx.QueryRowContext(ctx, `DELETE FROM instruction WHERE number =
		(SELECT min(number) FROM instruction WHERE account = ? AND word <> ?) RETURNING word`, c.Account, passOver).Scan(&do)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return do, err
}
