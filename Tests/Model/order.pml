/* STATE ORDER: a healthy store says again and again how far its feed goes, and the messages overtake each other.
 * Nobody may take it for one that went back in time. The n-th message says that the head is n; it may arrive once the
 * head was n. */

unsigned head : 3;
unsigned promise : 3;   /* the highest head that the other one was told */
unsigned last : 3;      /* the number of the message that it looked at last */

active proctype states() { do
:: d_step { head < 5 -> head++ }
@each n in 1 2 3 4 5
:: d_step { $n <= head && ($n > last || !rule(stateOrder)) ->
     last = $n;
     /* IDENT. */
     assert($n >= promise);
     promise = $n }
@end
od }
