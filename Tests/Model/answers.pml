/* What a client was told, without any purge. One key at three owners: a put v, another client's value u, a delete t,
 * stamped in that order. Versions are their stamps: 1 v, 2 u, 3 t, 4 whatever is stamped after the delete was
 * acknowledged.
 *
 * Checked: once a delete was acknowledged, nothing that it deleted comes back. Nobody writes after it. */

@each i
unsigned mem[i] : 3;
unsigned refused[i] : 1; /* this owner's "I have something newer" to the put v is on its way, and may be slow */
@end
unsigned deleted : 1;    /* the delete was acknowledged */
unsigned nothing : 1;    /* it was, and nobody holds a tombstone of it */
unsigned hint : 1;       /* a fallback keeps v */
unsigned again : 1;      /* v is sent once more, under a stamp above the delete's */

active proctype clients() { do

@each i
:: d_step { mem[i] < 1 -> mem[i] = 1 }
:: d_step { mem[i] < 2 -> mem[i] = 2 }
:: d_step { mem[i] < 3 && !nothing -> mem[i] = 3 }
/* MERGE: the put v comes to an owner that has something newer. */
:: d_step { mem[i] > 1 && !refused[i] -> refused[i] = 1 }
/* ONE STAMP: nobody stamps v anew once somebody may have applied it. */
:: d_step { deleted && refused[i] && !rule(oneStamp) -> again = 1 }
:: d_step { again && mem[i] < 4 -> mem[i] = 4 }
@end

:: d_step { !hint -> hint = 1 }
/* HINTS: what is handed over has the stamp of its write. */
:: d_step { hint && deleted && !rule(hintStamp) -> again = 1 }

/* The delete is acknowledged by two owners that have its tombstone. */
:: d_step { !deleted && (count q { mem[q] >= 3 }) >= 2 -> deleted = 1 }
/* DELETE OF NOTHING: a success always has its tombstone, however few have the key. */
:: d_step { !deleted && !rule(deleteOfNothing) && (count q { mem[q] == 0 }) == 3 -> deleted = 1; nothing = 1 }

:: d_step { deleted && (any q { mem[q] == 4 }) -> assert(false) }
:: d_step { nothing && (count q { mem[q] == 1 || mem[q] == 2 }) >= 2 -> assert(false) }

od }
