/* One key at three owners: writes that arrive late, twice and in any order, the feed, purges, pulls, crashes, reads.
 *
 * Versions are their stamps: 0 absent, 1 the value v, 2 its tombstone t, 3 the value w, 4 the tombstone t' of w. A push
 * needs no message: whatever was ever sent may arrive at any time, and any number of times. HOLD, ECHO and the round of
 * anti-entropy before a purge only delay purges, so leaving them out checks more, not less; what ECHO is for is in
 * echo.pml. The sources of pulls and feeds are whole here; stores that are not are in ident.pml. */

@each i
unsigned mem[i] : 3;     /* what the keydir says */
unsigned disk[i] : 3;    /* what a start after a crash finds */
unsigned flo[i] : 3;     /* the floor: the highest tombstone that was purged here */
unsigned dflo[i] : 3;    /* the durable one */
@end
@each i j
unsigned ack[i,j] : 1;   /* i knows that j's cursor has passed the entry of the tombstone that i holds */
@end
unsigned dead : 3;       /* the highest tombstone that anybody has purged */
@if pulls
unsigned asking : 2;     /* the one open question: who asks, 0 for nobody, else its number and 1 */
unsigned told : 3;       /* what it is about to be told */
unsigned moved : 1;      /* it has purged something since it asked */
@end
@if slowfeed
unsigned pageTo : 2;     /* the one answer of a feed that is on its way: its owner and 1, its source, the entry */
unsigned pageFrom : 2;
unsigned page : 3;
@end
@if crash
unsigned crashes : 2;
@end
@if recreate
unsigned acked : 1;      /* w was durable at two owners, and its client was told so */
@end
@if read
unsigned reading : 2;    /* 1: a read with r = 2 that began after the delete was acknowledged, 2: it has ended */
unsigned returned : 1;   /* it returned a value */
@each i
unsigned said[i] : 3;    /* 0 nothing yet, else the version and 1 */
unsigned saidFloor[i] : 3;  /* the floor that came with "absent" */
unsigned twice[i] : 1;   /* it was asked once more */
@end
@end
@if fallback
unsigned returned : 1;   /* a read that met a hint has returned v */
@end

#define tombstone(x) (x == 2 || x == 4)
#define higher(x, y) (x > y -> x : y)
/* PUSH and FLOOR: what comes from anywhere creates no key at or below the floor. EQUAL: what is here stays. */
#define refused(x, mem, flo) (x <= mem || (rule(floor) && mem == 0 && x <= flo))
/* A tombstone that is stored is a new entry of the feed, that nobody has passed: an entry is acknowledged, no key. */
@each i
#define newEntry[i] if :: rule(acknowledgements.newEntry) || mem[i] == 2 -> for q { ack[i,q] = 0 } :: else fi
@end

/* Whether a tombstone at or below the floor is left to the feed, which brings it where it is news. */
@if newsOnly
#define ignored(told) tombstone(told)
@end
@if !newsOnly
#define ignored(told) false
@end
@if read
#define saidValue(x) (x == 2 || x == 4)
#define doubted(said, other, floor, twice) (saidValue(said) && other == 1 && said - 1 <= floor && rule(reAsk) && !twice)
@if again
#define lastDelete 4
@end
@if !again
#define lastDelete 2
@end
@end

active proctype owners() { do

@each i
:: d_step { !refused(1, mem[i], flo[i]) -> mem[i] = 1 }
:: d_step { !refused(2, mem[i], flo[i]) -> mem[i] = 2; newEntry[i] }
@if recreate
:: d_step { !refused(3, mem[i], flo[i]) -> mem[i] = 3 }
@end
@if again
:: d_step { !refused(3, mem[i], flo[i]) -> mem[i] = 3 }
:: d_step { !refused(4, mem[i], flo[i]) -> mem[i] = 4; newEntry[i] }
@end
@end

/* An fsync. */
@each i
:: d_step { mem[i] > disk[i] -> disk[i] = mem[i] }
@end

/* FEED: i is given an entry of j. It stores it also where it has nothing, whatever its floor. */
@each i j
:: d_step { tombstone(mem[j]) && (!rule(durableFeed) || disk[j] == mem[j]) && !ack[j,i] &&
     mem[i] < mem[j] && (rule(storeAbsent) || mem[i] != 0) -> mem[i] = mem[j]; newEntry[i] }
/* The cursor is said when what makes the state at least the tombstone is durable, be it a newer value (FEED FSYNC). An
 * answer to an earlier question is ignored from then on (STATE ORDER). */
:: d_step { tombstone(mem[j]) && (!rule(durableFeed) || disk[j] == mem[j]) && !ack[j,i] &&
     (mem[i] >= mem[j] || (!rule(storeAbsent) && mem[i] == 0)) &&
     (disk[i] >= mem[j] || !rule(durableCursor) || (!rule(durableCursor.newer) && mem[i] > mem[j]) ||
       (!rule(storeAbsent) && mem[i] == 0)) -> ack[j,i] = 1;
@if slowfeed
     if :: rule(stateOrder) && pageTo == $i + 1 && pageFrom == $j -> pageTo = 0; pageFrom = 0; page = 0 :: else fi;
@end
     }
@if slowfeed
:: d_step { pageTo == 0 && tombstone(mem[j]) && disk[j] == mem[j] && !ack[j,i] ->
     pageTo = $i + 1; pageFrom = $j; page = mem[j] }
:: d_step { pageTo == $i + 1 && pageFrom == $j ->
     if :: mem[i] < page -> mem[i] = page; newEntry[i] :: else fi; pageTo = 0; pageFrom = 0; page = 0 }
@end
@end

/* PURGE: exactly the record that everybody has acknowledged; the floor rises in the same step. */
@each i
:: d_step { (tombstone(mem[i]) || (!rule(exactPurge) && mem[i] != 0)) &&
     (!rule(durableFeed) || disk[i] == mem[i]) &&
@if slowfeed
     /* ECHO: what the others have in their feeds has been seen. */
     others q { !rule(echo) || !tombstone(mem[q]) || ack[q,i] } &&
@end
     (others q { ack[i,q] } || (!rule(acknowledgements) && (another q { ack[i,q] }))) ->
     flo[i] = higher(flo[i], (tombstone(mem[i]) -> mem[i] : mem[i] - 1));
     dead = higher(dead, flo[i]);
@if pulls
     moved = moved || asking == $i + 1;
@end
     mem[i] = 0 }

/* The record of a purged tombstone leaves the disk when the floor there covers it. */
:: d_step { flo[i] > dflo[i] -> dflo[i] = flo[i] }
:: d_step { mem[i] == 0 && tombstone(disk[i]) && disk[i] <= flo[i] && (disk[i] <= dflo[i] || !rule(durableFloor)) ->
     disk[i] = 0 }
@end

@if pulls
/* PULL: i asks j, and j answers; what lies between changes nothing but that GUARD may discard more. */
@each i j
:: d_step { asking == 0 && mem[j] != 0 -> asking = $i + 1; told = mem[j]; moved = 0 }
@end
/* GUARD: an answer creates no purged key when something was purged since the question. */
@each i
:: d_step { asking == $i + 1 ->
     if
     :: rule(guardPulls) && mem[i] == 0 && told <= flo[i] && (moved || ignored(told)) -> skip
     :: else -> if :: told > mem[i] -> mem[i] = told; if :: tombstone(told) -> newEntry[i] :: else fi :: else fi
     fi;
     asking = 0; told = 0; moved = 0 }
@end
@end

@if crash
/* A power cut: what was not durable is gone. */
@each i
:: d_step { crashes < 2 && (mem[i] != disk[i] || flo[i] != dflo[i]) ->
     crashes++;
     /* Another record than the one in memory: what is known about that one's entry is not about this one's. */
     if :: tombstone(mem[i]) && mem[i] != disk[i] -> for q { ack[i,q] = 0 } :: else fi;
     mem[i] = disk[i]; flo[i] = dflo[i];
@if slowfeed
     if :: pageTo == $i + 1 -> pageTo = 0; pageFrom = 0; page = 0 :: else fi;
@end
@if pulls
     if :: asking == $i + 1 -> asking = 0; told = 0; moved = 0 :: else fi;
@end
     }
@end
@end

@if recreate
/* An acknowledged write stays. */
:: d_step { !acked && (count q { disk[q] >= 3 }) >= 2 -> acked = 1 }
:: d_step { acked && (count q { mem[q] >= 3 }) < 2 -> assert(false) }
@end

@if read
/* READ with r = 2: two owners answer one after the other, and may be asked once more. It begins when the last delete
 * that there is has been acknowledged; nobody writes after that. */
:: d_step { reading == 0 && (count q { disk[q] >= lastDelete }) >= 2 -> reading = 1 }
@each i
:: d_step { reading == 1 && said[i] == 0 && (count q { said[q] != 0 }) < 2 ->
     said[i] = mem[i] + 1; saidFloor[i] = (rule(readFloor) && mem[i] == 0 -> flo[i] : 0) }
@end
@each i j
/* A value at or below the floor of an owner that has nothing: its owner is asked again, and that answer is taken. */
:: d_step { reading == 1 && doubted(said[i], said[j], saidFloor[j], twice[i]) -> said[i] = mem[i] + 1; twice[i] = 1 }
:: d_step { reading == 1 && saidValue(said[i]) && said[j] != 0 && said[j] <= said[i] &&
     !doubted(said[i], said[j], saidFloor[j], twice[i]) -> reading = 2; returned = 1 }
@end
:: d_step { returned -> assert(false) }
@end

@if fallback
/* READ with r = 2 of an owner and a fallback, whose hint of v nobody wants any more: a version that is not above the
 * floor of an owner that has nothing does not count. Asked for when t has been purged somewhere. */
@each i
:: d_step { dead >= 2 && !returned && (mem[i] == 1 || (mem[i] == 0 && !(rule(readFloor) && flo[i] >= 1))) ->
     returned = 1 }
@end
:: d_step { returned -> assert(false) }
@end

/* What was purged anywhere is nowhere any more, nor anything that it deleted. */
:: d_step { any q { (mem[q] == 1 || mem[q] == 3) && mem[q] < dead } -> assert(false) }

od }
