-- The ledger is in two parts from here on, `head` and `rows`, and every owner's key that is made takes a step of it. The
-- sum over the owners is in the head: see ledger.rs, which writes both anew.
DELETE FROM ledger WHERE part = 'owners';
