/* A store that goes back in time, or is gone: one key at three owners, of which number 0 has its directory put back from a
 * copy (part "restore") or wiped (part "wipe"). Any other owner could be the one; numbers mean nothing else.
 *
 * Everything is durable at once here (crashes are in core.pml), but for what owner 1 remembers of owner 0 (part
 * "forgetful"). Owners meet owner 0 one by one: until then they go on as they were, with what they have been told. Versions: 0
 * absent, 1 the value v, 2 its tombstone t. */

@each i
unsigned mem[i] : 2;
unsigned flo[i] : 1;     /* t has been purged here: the floor is not below it */
@end
@each i j
unsigned ack[i,j] : 1;   /* the promise that i holds: j's cursor has passed my entry of t */
@end
unsigned dead : 1;       /* t has been purged somewhere */
unsigned boots : 1;      /* owner 0 came back as another boot, with another past */
unsigned loading : 1;    /* its store is being filled */
unsigned entry : 1;      /* its feed has given t a place: the head of the feed */
@each j in 1 2
unsigned cursor[j] : 1;  /* its cursor has passed j's entry of t */
unsigned passed[j] : 1;  /* j's cursor has passed its entry of t */
unsigned knows[j] : 1;   /* the promise that j holds of its floor */
unsigned whole[j] : 1;   /* j has found its promises whole, in this boot */
unsigned late[j] : 1;    /* its former boot has told j its cursor, and the message is still on its way */
unsigned noted[j] : 1;   /* j has its new incarnation on record */
unsigned pulled[j] : 1;  /* it has everything that j held when it was asked */
@end
unsigned kept : 2;       /* what the directory that was set aside says */
@if restore
unsigned copied : 1;     /* the copy, and what is in it */
unsigned cmem : 2;
unsigned cflo : 1;
unsigned centry : 1;
@each j in 1 2
unsigned ccursor[j] : 1;
unsigned cack[j] : 1;
@end
@end
@if forgetful
unsigned durable : 1;    /* the promise ack[1,0] is durable */
unsigned cut : 1;        /* owner 1 has lost power once */
@end

/* Whether owner 0 and j take anything from each other. VALIDATION: not before j has judged this boot. */
@each j in 1 2
#define open[j] (!loading && (!boots || whole[j] || !rule(validation)))
/* IDENT: something that j was told is not true any more. */
#define regressed[j] ((ack[j,0] && !cursor[j]) || (passed[j] && !entry) || (knows[j] && !flo[0]))
@end
/* What a purge counts is durable where it is counted. */
#define backed[2] true
@if forgetful
#define backed[1] (durable || !rule(durablePromise))
@end
@if !forgetful
#define backed[1] true
@end
/* The place that t gets in owner 0's feed: one that others may have passed already, when the feed went back. */
#define newEntry if :: entry -> passed[1] = 0; passed[2] = 0 :: else fi; entry = 1; ack[0,1] = 0; ack[0,2] = 0
/* A new store under a new incarnation, that takes part in nothing until it is filled. */
#define begin mem[0] = 0; flo[0] = 0; entry = 0; loading = 1; \
  cursor[1] = 0; cursor[2] = 0; ack[0,1] = 0; ack[0,2] = 0; noted[1] = 0; noted[2] = 0; pulled[1] = 0; pulled[2] = 0; \
  whole[1] = 0; whole[2] = 0

active proctype owners() { do

/* PUSH and FLOOR. A store that loads takes none. */
:: d_step { !loading && mem[0] == 0 && !flo[0] -> mem[0] = 1 }
:: d_step { !loading && mem[0] < 2 && !(mem[0] == 0 && flo[0]) -> mem[0] = 2; newEntry }
@each j in 1 2
:: d_step { mem[j] == 0 && !flo[j] -> mem[j] = 1 }
:: d_step { mem[j] < 2 && !(mem[j] == 0 && flo[j]) -> mem[j] = 2; for q { ack[j,q] = 0 } }
@end

/* FEED between the other two, and between each of them and owner 0. What is applied is durable, then the cursor is said. */
@each i j in 1 2
:: d_step { mem[j] == 2 && !ack[j,i] && mem[i] < 2 -> mem[i] = 2; for q { ack[i,q] = 0 } }
:: d_step { mem[j] == 2 && !ack[j,i] && mem[i] == 2 -> ack[j,i] = 1 }
@end
@each j in 1 2
:: d_step { open[j] && mem[0] == 2 && !passed[j] && mem[j] < 2 -> mem[j] = 2; for q { ack[j,q] = 0 } }
:: d_step { open[j] && mem[0] == 2 && !passed[j] && mem[j] == 2 -> passed[j] = 1 }
:: d_step { open[j] && passed[j] && mem[0] == 2 && !ack[0,j] -> ack[0,j] = 1 }
/* A store that loads takes entries as well, once its new incarnation is known. */
:: d_step { (open[j] || (loading && noted[j])) && mem[j] == 2 && !cursor[j] && mem[0] < 2 ->
     mem[0] = 2; newEntry }
:: d_step { (open[j] || (loading && noted[j])) && mem[j] == 2 && !cursor[j] && mem[0] == 2 -> cursor[j] = 1 }
/* What is told is remembered: its cursor, and its floor. */
:: d_step { (open[j] || (loading && noted[j])) && cursor[j] && mem[j] == 2 && !ack[j,0] -> ack[j,0] = 1 }
:: d_step { open[j] && flo[0] && !knows[j] -> knows[j] = 1 }
@end

/* PURGE. The promise is of whom j has met last: it may be of the former boot, when the new one has not shown up yet. */
@each j in 1 2
:: d_step { mem[j] == 2 && others q { ack[j,q] } && backed[j] -> mem[j] = 0; flo[j] = 1; dead = 1 }
@end
:: d_step { !loading && mem[0] == 2 && ack[0,1] && ack[0,2] -> mem[0] = 0; flo[0] = 1; dead = 1 }

/* PULL, in one step: answers that come late are in core.pml. */
@each j in 1 2
:: d_step { open[j] && mem[0] == 1 && mem[j] == 0 -> mem[j] = 1 }
:: d_step { open[j] && mem[j] == 1 && mem[0] == 0 -> mem[0] = 1 }
@end
@each i j in 1 2
:: d_step { mem[j] == 1 && mem[i] == 0 -> mem[i] = 1 }
@end

@if restore
:: d_step { !copied && !boots -> copied = 1; cmem = mem[0]; cflo = flo[0]; centry = entry;
     ccursor[1] = cursor[1]; ccursor[2] = cursor[2]; cack[1] = ack[0,1]; cack[2] = ack[0,2] }
:: d_step { copied && !boots -> boots = 1; late[1] = cursor[1]; late[2] = cursor[2];
     mem[0] = cmem; flo[0] = cflo; entry = centry;
     cursor[1] = ccursor[1]; cursor[2] = ccursor[2]; ack[0,1] = cack[1]; ack[0,2] = cack[2];
     copied = 0; cmem = 0; cflo = 0; centry = 0; ccursor[1] = 0; ccursor[2] = 0; cack[1] = 0; cack[2] = 0 }
@end
@if wipe
/* GENESIS: an empty store is not new where others are not. */
:: d_step { !boots -> boots = 1; late[1] = cursor[1]; late[2] = cursor[2]; begin;
     if :: rule(genesis) -> skip :: else -> loading = 0; whole[1] = 1; whole[2] = 1;
       passed[1] = 0; passed[2] = 0; ack[1,0] = 0; ack[2,0] = 0; knows[1] = 0; knows[2] = 0 fi }
@end

@each j in 1 2
/* STATE ORDER: a message of a boot that has been replaced is not looked at; until then it is believed. */
:: d_step { late[j] -> late[j] = 0;
     if :: !whole[j] && !noted[j] || !rule(stateOrder) -> ack[j,0] = ack[j,0] || mem[j] == 2 :: else fi }
/* IDENT: j judges the boot that it meets. A store whose promises went backwards is fenced, and made anew. */
:: d_step { boots && !loading && !whole[j] && (!regressed[j] || !rule(fence)) -> whole[j] = 1 }
:: d_step { boots && !loading && !whole[j] && regressed[j] && rule(fence) -> kept = mem[0]; begin }
/* REBUILD and LOADING. An acknowledgement is of an incarnation: j forgets what the former one said. */
:: d_step { loading && !noted[j] -> noted[j] = 1;
     if :: rule(cursorIncarnation) -> ack[j,0] = 0; passed[j] = 0; knows[j] = 0 :: else fi }
/* The floor first, then what j has. Nothing is pulled before every owner has the new incarnation on record. */
:: d_step { loading && noted[j] && !pulled[j] && ((noted[1] && noted[2]) || !rule(recognition)) ->
     pulled[j] = 1; flo[0] = flo[0] || flo[j];
     if :: mem[j] > mem[0] -> mem[0] = mem[j]; if :: mem[j] == 2 -> newEntry :: else fi :: else fi }
@end
/* What nobody else has, and is at or below the floor, goes into quarantine; what is above it stays. */
:: d_step { loading && pulled[1] && pulled[2] ->
     if :: mem[0] == 0 && kept == 1 && !(flo[0] && rule(quarantine)) -> mem[0] = 1 :: else fi;
     kept = 0; loading = 0; whole[1] = 1; whole[2] = 1 }

@if forgetful
:: d_step { ack[1,0] && !durable -> durable = 1 }
:: d_step { !cut && ack[1,0] && !durable -> cut = 1; ack[1,0] = 0; whole[1] = 0 }
@end

/* What was purged anywhere is nowhere any more; owner 0 counts when both have judged it. */
:: d_step { dead && (mem[1] == 1 || mem[2] == 1) -> assert(false) }
:: d_step { dead && mem[0] == 1 && open[1] && open[2] -> assert(false) }
/* Nor is it read: owner 0 and one that has judged it, and has nothing. */
@each j in 1 2
:: d_step { dead && mem[0] == 1 && open[j] && mem[j] == 0 && flo[j] -> assert(false) }
@end

od }
