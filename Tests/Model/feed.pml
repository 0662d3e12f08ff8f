/* The feed as numbers: one owner whose tombstones get places 1, 2, 3, and two others whose cursors are numbers too.
 * There are the key k, whose value v the others may have, and any other keys, of which only tombstones matter here.
 *
 * The owner loses power and merges, and (part "anew") its store is made anew once. The others lose nothing and never
 * purge. */

@each n in 1 2 3
unsigned what[n] : 2;   /* the entry at this place: 0 none, 1 another key's tombstone, 2 that of k */
unsigned record[n] : 2; /* its record: 0 not on the disk, 1 written, 2 durable */
unsigned purged[n] : 1; /* the entry is forgotten */
@end
unsigned head : 2;      /* the highest place that was given */
unsigned synced : 2;    /* everything up to here is durable: nothing above is served */
unsigned noted : 2;     /* the head as the manifest says */
unsigned dead : 1;      /* t has been purged */
unsigned crashes : 2;
@if anew
unsigned again : 1;     /* the store was made anew */
@end
@each j in 1 2
unsigned mem[j] : 2;    /* 0 absent, 1 the value v of k, 2 its tombstone t */
unsigned cursor[j] : 2;
@end

active proctype feed() { do

@each j in 1 2
:: d_step { mem[j] == 0 -> mem[j] = 1 }
@end

@each n in 1 2 3
/* TSN HEAD: a tombstone gets the next place. */
:: d_step { head == $n - 1 -> head = $n; what[n] = 1; record[n] = 1; purged[n] = 0 }
:: d_step { head == $n - 1 && what[1] != 2 && what[2] != 2 && what[3] != 2 && !dead ->
     head = $n; what[n] = 2; record[n] = 1; purged[n] = 0 }
/* FEED: the next place, if what stands there is durable; nothing may stand there any more. */
@each j in 1 2
:: d_step { cursor[j] == $n - 1 && ($n <= synced || (!rule(durableFeed) && $n <= head)) ->
     cursor[j] = $n; if :: what[n] == 2 && !purged[n] -> mem[j] = 2 :: else fi }
@end
/* PURGE, and a merge that leaves the record behind. */
:: d_step { what[n] != 0 && !purged[n] && record[n] == 2 && cursor[1] >= $n && cursor[2] >= $n ->
     purged[n] = 1; if :: what[n] == 2 -> dead = 1 :: else fi }
:: d_step { purged[n] && record[n] == 2 ->
     what[n] = 0; record[n] = 0; purged[n] = 0; if :: rule(feedHead) -> noted = synced :: else fi }
@end

:: d_step { synced < head -> synced = head; 
@each n in 1 2 3
     if :: record[n] == 1 -> record[n] = 2 :: else fi;
@end
     }

/* A power cut. The head is what the manifest says, or the highest record; what was purged and not merged is back. */
:: d_step { crashes < 2 -> crashes++; head = noted;
@each n in 1 2 3
     if :: record[n] == 1 -> record[n] = 0; what[n] = 0 :: else fi;
     if :: record[n] == 2 && head < $n -> head = $n :: else fi;
     purged[n] = 0;
@end
     synced = head }

@if anew
/* The store is lost and filled from the others, under a new incarnation; its places begin at 1 again. */
:: d_step { !again -> again = 1; head = 0; noted = 0;
@each n in 1 2 3
     what[n] = 0; record[n] = 0; purged[n] = 0;
@end
     if :: mem[1] == 2 || mem[2] == 2 -> head = 1; what[1] = 2; record[1] = 2 :: else fi;
     synced = head;
     if :: rule(cursorIncarnation) -> cursor[1] = 0; cursor[2] = 0 :: else fi }
@end

/* Who has purged t has been told by everybody that they have it. */
:: d_step { dead && (mem[1] != 2 || mem[2] != 2) -> assert(false) }
@if whole
/* No cursor is ahead of the head: such a store is taken for one that went back in time. */
:: d_step { cursor[1] > head || cursor[2] > head -> assert(false) }
@end

od }
