/* The disk of one owner: two files that are merged in any way, a journal that is written only in some runs of the
 * process (sync = always), power cuts at any time. Versions are their stamps: 1 and 3 values, 2 and 4 the tombstones
 * of each.
 *
 * What was acknowledged is assumed to be: any tombstone may be purged at any time. Records are durable at once, the
 * floor is not. Which file is older means nothing: a value may stand in either of them. */

@each x in 1 2 3 4
@each f in 1 2
unsigned on[f,x] : 1;    /* the record of x stands in this file */
@end
unsigned log[x] : 1;     /* and in the journal */
@end
unsigned mem : 3;        /* what the keydir says, 0 absent */
unsigned flo : 3;
unsigned dflo : 3;
unsigned always : 1;     /* this run of the process writes the journal */
unsigned dead : 3;       /* the highest tombstone that was purged here, ever */
unsigned found : 3;      /* what a start makes of the disk */

#define tombstone(x) (x == 2 || x == 4)
#define higher(x, y) (x > y -> x : y)
/* OVERLAP: no version below x, a value or an older tombstone, stands in file f, nor in the journal, a file too. */
@each f in 1 2
#define nothingBelow2[f] (!on[f,1] || !rule(overlap.files))
#define nothingBelow4[f] (!(on[f,1] || on[f,3] || (on[f,2] && rule(overlap.tombstones))) || !rule(overlap.files))
@end
#define notInLog2 (!log[1] || !rule(overlap.journal))
#define notInLog4 (!(log[1] || log[3] || (log[2] && rule(overlap.tombstones))) || !rule(overlap.journal))
/* Whether a tombstone counts no more, and the floor there covers it where it was purged. */
#define gone(x) (mem != x && (x > flo || x <= dflo || !rule(durableFloor)))

active proctype store() { do

@each x in 1 2 3 4
/* An append, to the file that is written now, and to the journal. */
@each f in 1 2
:: d_step { $x > mem && !(mem == 0 && $x <= flo) && !on[f,x] ->
     assert(tombstone($x) || $x > dead);
     mem = $x; on[f,x] = 1; log[x] = always }
@end
@end

/* PURGE. */
@each x in 2 4
:: d_step { mem == $x -> mem = 0; flo = higher(flo, $x); dead = higher(dead, $x) }
@end
:: d_step { dflo < flo -> dflo = flo }

/* Merges: of one file, and of both. A value that does not count is left behind. */
@each f g in 1 2
:: d_step { on[f,1] && mem != 1 -> on[f,1] = 0 }
:: d_step { on[f,3] && mem != 3 -> on[f,3] = 0 }
:: d_step { on[f,2] && gone(2) && nothingBelow2[g] && notInLog2 -> on[f,2] = 0; on[f,1] = 0 }
:: d_step { on[f,4] && gone(4) && nothingBelow4[g] && notInLog4 ->
     on[f,4] = 0; on[f,1] = 0; on[f,2] = 0; if :: mem != 3 -> on[f,3] = 0 :: else fi }
@end
:: d_step { (on[1,2] || on[2,2]) && gone(2) && notInLog2 -> on[1,2] = 0; on[2,2] = 0; on[1,1] = 0; on[2,1] = 0 }
:: d_step { (on[1,4] || on[2,4]) && gone(4) && notInLog4 ->
     on[1,4] = 0; on[2,4] = 0; on[1,1] = 0; on[2,1] = 0; on[1,2] = 0; on[2,2] = 0;
     if :: mem != 3 -> on[1,3] = 0; on[2,3] = 0 :: else fi }

/* The journal is dropped from its oldest end, what is in it being in the files. */
:: d_step { log[1] -> log[1] = 0 }
:: d_step { log[2] && !log[1] -> log[2] = 0 }
:: d_step { log[3] && !log[1] && !log[2] -> log[3] = 0 }
:: d_step { log[4] && !log[1] && !log[2] && !log[3] -> log[4] = 0 }

/* A power cut and a start in either mode: the files say what is highest, and so does the journal, in every mode. */
@each mode in 0 1
:: d_step { true -> found = 0; always = $mode; flo = dflo;
@each x in 1 2 3 4
     if :: on[1,x] || on[2,x] -> found = $x :: else fi;
@end
@each x in 1 2 3 4
     if :: log[x] && found < $x && ($mode || rule(replayFloor.everyMode)) &&
           !(found == 0 && $x <= dflo && rule(replayFloor.floor)) -> found = $x; on[1,x] = 1
     :: else fi;
     if :: $mode || rule(replayFloor.everyMode) -> log[x] = 0 :: else fi;
@end
     /* Nothing of what counted is gone, and no value is back that was deleted. */
     assert(found >= mem);
     assert(tombstone(found) || found == 0 || found > dead);
     mem = found; found = 0 }
@end

od }
