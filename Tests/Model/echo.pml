/* Whether tombstones go away: one key at three owners, the feed and purges, and what could give a forgotten tombstone
 * back. Without part "live" it is checked that no store which has forgotten the tombstone is given it again.
 *
 * Part "live": at some moment pushes and power cuts stop, and from then on only what the nodes do by themselves goes
 * on. Every such step makes progress, so that a run that never ends is one in which a tombstone goes round. */

@each i
unsigned mem[i] : 2;    /* 0 absent, 1 the value v, 2 its tombstone t */
unsigned disk[i] : 2;
unsigned flo[i] : 1;    /* t has been purged here */
unsigned dflo[i] : 1;
@end
@each i j
unsigned ack[i,j] : 1;  /* j's cursor has passed the place of t in i's feed */
unsigned owed[i,j] : 1; /* when j said so, its own feed went further than i's cursor on it */
@end
unsigned crashes : 1;
unsigned calm : 1;

/* A new place in the feed, that nobody has passed. */
@each i
#define store[i] mem[i] = 2; for q { ack[i,q] = 0 }
/* ECHO and FEED both: t is stored where it had been purged. */
#define bounced[i] (mem[i] == 0 && flo[i])
@end
@each i
/* i has passed everything that the others have in their feeds. */
#define caughtUp[i] (others q { mem[q] != 2 || ack[q,i] })
@end
/* HOLD: long enough for every entry to have reached everybody before anybody purges. */
@if pulledback
#define held (!rule(hold) || all q { caughtUp[q] })
@end
@if !pulledback
#define held true
@end
#define settled (all q { mem[q] == 0 })

active proctype owners() { do

@each i
/* PUSH and FLOOR: at the floor is not above it. */
:: d_step { !calm && mem[i] == 0 && !flo[i] -> mem[i] = 1 }
:: d_step { !calm && mem[i] < 2 && !(mem[i] == 0 && flo[i] && rule(floor.equal)) ->
@if !live
     assert(!bounced[i]);
@end
     store[i] }
:: d_step { mem[i] > disk[i] -> disk[i] = mem[i] }
@end

@each i j
/* FEED: i is given the entry of j. */
:: d_step { mem[j] == 2 && disk[j] == 2 && !ack[j,i] && mem[i] < 2 ->
@if !live
     assert(!bounced[i]);
@end
     store[i] }
:: d_step { mem[j] == 2 && disk[j] == 2 && !ack[j,i] && mem[i] == 2 && disk[i] == 2 && rule(equal) ->
     ack[j,i] = 1; owed[i,j] = 0; owed[j,i] = !ack[i,j] }
/* EQUAL: who has this very tombstone has it, and says so. */
/* What was purged meanwhile is passed as well. */
:: d_step { owed[i,j] && mem[j] == 0 -> owed[i,j] = 0 }
/* AAE: values alone are compared and pulled. */
:: d_step { mem[j] == 1 && mem[i] == 0 && !flo[i] -> mem[i] = 1 }
:: d_step { !rule(valuesOnly) && mem[j] == 2 && mem[i] < 2 ->
@if !live
     assert(!bounced[i]);
@end
     store[i] }
@end

@if pulledback
/* A validated pull finds t at an owner that has not purged it, or a store that was made anew is filled with it. */
@each i j
:: d_step { !calm && mem[i] == 0 && flo[i] && mem[j] == 2 -> store[i] }
@end
@end

/* PURGE and ECHO: what is still on its way from the others' feeds has been seen. */
@each i
:: d_step { mem[i] == 2 && disk[i] == 2 && others q { ack[i,q] && !(rule(echo) && owed[i,q]) } && held ->
     mem[i] = 0; flo[i] = 1 }
:: d_step { flo[i] && !dflo[i] -> dflo[i] = 1 }
:: d_step { mem[i] == 0 && disk[i] == 2 && dflo[i] -> disk[i] = 0 }
/* A power cut; a tombstone that comes back by it has its old place. */
:: d_step { !calm && !crashes && (mem[i] != disk[i] || flo[i] != dflo[i]) -> crashes = 1;
     if :: mem[i] == 2 && disk[i] != 2 -> for q { ack[i,q] = 0 } :: else fi;
     mem[i] = disk[i]; flo[i] = dflo[i] }
@end

@if live
:: d_step { !calm && (any q { disk[q] == 2 && mem[q] == 2 }) -> calm = 1 }
/* Where nothing can be done any more, nothing is done for ever. */
:: else -> true
@end

od }

@if live
ltl collected { <> (calm == 1) -> <> [] (settled) }
@end
