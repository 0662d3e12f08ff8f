/* A store that goes back in time, or is gone: one key at three owners, of which number 0 has its directory put back
 * from a copy (part "restore") or wiped (part "wipe"). It might be any of them; owners differ in nothing else.
 *
 * Everything is durable at once here (crashes are in core.pml), but for what owner 1 remembers of owner 0 (part
 * "forgetful"). The others meet owner 0 one by one; until then they go on with what they have been told. Versions: 0
 * absent, 1 the value v, 2 its tombstone t. The only entries of a feed are those of t; each store stores t at most
 * twice. */

@each i
unsigned mem[i] : 2;
unsigned flo[i] : 1;     /* t has been purged here: the floor is not below it */
unsigned head[i] : 2;    /* the head of its feed: the place of t, where it is held */
@end
@each i j
unsigned ack[i,j] : 2;   /* the promise that i holds: how far j's cursor on it was, by j's word */
@end
unsigned dead : 1;       /* t has been purged somewhere */
unsigned boots : 1;      /* owner 0 came back as another boot, with another past */
unsigned loading : 1;    /* its store is being filled */
@each j in 1 2
unsigned cursor[j] : 2;  /* its cursor on j */
unsigned passed[j] : 2;  /* j's cursor on it */
unsigned knows[j] : 1;   /* the promise that j holds of its floor */
unsigned whole[j] : 1;   /* j has found its promises whole, in this boot */
unsigned late[j] : 2;    /* its former boot has told j its cursor, and the message is still on its way */
unsigned noted[j] : 1;   /* j has its new incarnation on record */
unsigned pulled[j] : 1;  /* it has everything that j held when it was asked */
@end
unsigned kept : 2;       /* what the directory that was set aside says */
@if restore
unsigned copied : 1;     /* there is a copy, and what is in it */
unsigned cmem : 2;
unsigned cflo : 1;
unsigned chead : 2;
@each j in 1 2
unsigned ccursor[j] : 2;
unsigned cack[j] : 2;
@end
@end
@if forgetful
unsigned durable : 2;    /* how much of the promise ack[1,0] is durable */
unsigned cut : 1;        /* owner 1 has lost power once */
@end

/* Whether owner 0 and j take anything from each other. VALIDATION: not before j has judged this boot. */
@each j in 1 2
#define open[j] (!loading && (!boots || whole[j] || !rule(validation)))
/* A store that loads follows the feeds as well, once its new incarnation is known. */
#define follows[j] (open[j] || (loading && noted[j]))
/* IDENT: something that j was told is not true any more. */
#define regressed[j] (cursor[j] < ack[j,0] || head[0] < passed[j] || flo[0] < knows[j])
@end
@each i
/* t is stored; its place is a new one. */
#define store[i] mem[i] = 2; head[i]++
@end
/* What a purge counts is durable where it is counted. */
#define backed[2] true
@if forgetful
#define backed[1] (durable >= head[1] || !rule(durablePromise))
@end
@if !forgetful
#define backed[1] true
@end
/* A new store under a new incarnation, that takes part in nothing until it is filled. */
#define begin mem[0] = 0; flo[0] = 0; head[0] = 0; loading = 1; \
  cursor[1] = 0; cursor[2] = 0; ack[0,1] = 0; ack[0,2] = 0; noted[1] = 0; noted[2] = 0; pulled[1] = 0; pulled[2] = 0; \
  whole[1] = 0; whole[2] = 0
/* What an owner knows of the former incarnation is not about this one. */
@each j in 1 2
#define forget[j] ack[j,0] = 0; passed[j] = 0; knows[j] = 0; late[j] = 0
@end

active proctype owners() { do

/* PUSH and FLOOR. A store that loads takes none. */
:: d_step { !loading && mem[0] == 0 && !flo[0] -> mem[0] = 1 }
:: d_step { !loading && mem[0] < 2 && !(mem[0] == 0 && flo[0]) && head[0] < 2 -> store[0] }
@each j in 1 2
:: d_step { mem[j] == 0 && !flo[j] -> mem[j] = 1 }
:: d_step { mem[j] < 2 && !(mem[j] == 0 && flo[j]) && head[j] < 2 -> store[j] }
@end

/* FEED between the other two, and between each of them and owner 0. What is applied is durable at once. */
@each i j in 1 2
:: d_step { mem[j] == 2 && ack[j,i] < head[j] && mem[i] < 2 && head[i] < 2 -> store[i] }
:: d_step { mem[j] == 2 && ack[j,i] < head[j] && mem[i] == 2 -> ack[j,i] = head[j] }
@end
@each j in 1 2
:: d_step { open[j] && mem[0] == 2 && passed[j] < head[0] && mem[j] < 2 && head[j] < 2 -> store[j] }
:: d_step { open[j] && mem[0] == 2 && passed[j] < head[0] && mem[j] == 2 -> passed[j] = head[0] }
:: d_step { open[j] && ack[0,j] < passed[j] -> ack[0,j] = passed[j] }
:: d_step { follows[j] && mem[j] == 2 && cursor[j] < head[j] && mem[0] < 2 && head[0] < 2 -> store[0] }
:: d_step { follows[j] && mem[j] == 2 && cursor[j] < head[j] && mem[0] == 2 -> cursor[j] = head[j] }
/* What is told is remembered: its cursor, and its floor. */
:: d_step { follows[j] && ack[j,0] < cursor[j] -> ack[j,0] = cursor[j] }
:: d_step { open[j] && knows[j] < flo[0] -> knows[j] = 1 }
@end

/* PURGE. The promise is of whom j has met last: it may be of the former boot, when the new one has not shown up yet. */
@each j in 1 2
:: d_step { mem[j] == 2 && others q { ack[j,q] >= head[j] } && backed[j] -> mem[j] = 0; flo[j] = 1; dead = 1 }
@end
:: d_step { !loading && mem[0] == 2 && ack[0,1] >= head[0] && ack[0,2] >= head[0] -> mem[0] = 0; flo[0] = 1; dead = 1 }

/* PULL, in one step: answers that come late are in core.pml. */
@each j in 1 2
:: d_step { open[j] && mem[0] == 1 && mem[j] == 0 -> mem[j] = 1 }
:: d_step { open[j] && mem[j] == 1 && mem[0] == 0 -> mem[0] = 1 }
@end
@each i j in 1 2
:: d_step { mem[j] == 1 && mem[i] == 0 -> mem[i] = 1 }
@end

@if restore
:: d_step { !copied && !boots -> copied = 1; cmem = mem[0]; cflo = flo[0]; chead = head[0];
     ccursor[1] = cursor[1]; ccursor[2] = cursor[2]; cack[1] = ack[0,1]; cack[2] = ack[0,2] }
:: d_step { copied && !boots -> boots = 1; late[1] = cursor[1]; late[2] = cursor[2];
     mem[0] = cmem; flo[0] = cflo; head[0] = chead;
     cursor[1] = ccursor[1]; cursor[2] = ccursor[2]; ack[0,1] = cack[1]; ack[0,2] = cack[2];
     copied = 0; cmem = 0; cflo = 0; chead = 0; ccursor[1] = 0; ccursor[2] = 0; cack[1] = 0; cack[2] = 0 }
@end
@if wipe
/* GENESIS: an empty store is not new where others are not. */
:: d_step { !boots -> boots = 1; late[1] = cursor[1]; late[2] = cursor[2]; begin;
     if :: rule(genesis) -> skip :: else -> loading = 0; whole[1] = 1; whole[2] = 1; forget[1]; forget[2] fi }
@end

@each j in 1 2
/* STATE ORDER: a message of a boot that has been replaced is not looked at; until then it is believed. */
:: d_step { late[j] != 0 ->
     if :: late[j] > ack[j,0] && ((!whole[j] && !noted[j]) || !rule(stateOrder)) -> ack[j,0] = late[j] :: else fi;
     late[j] = 0 }
/* IDENT: j judges the boot that it meets. A store whose promises went backwards is fenced, and made anew. */
:: d_step { boots && !loading && !whole[j] && (!regressed[j] || !rule(fence)) -> whole[j] = 1 }
:: d_step { boots && !loading && !whole[j] && regressed[j] && rule(fence) -> kept = mem[0]; begin }
/* REBUILD and LOADING. An acknowledgement is of an incarnation: j forgets what the former one said. */
:: d_step { loading && !noted[j] -> noted[j] = 1; if :: rule(cursorIncarnation) -> forget[j] :: else fi }
/* The floor first, then what j has. Nothing is pulled before every owner has the new incarnation on record. */
:: d_step { loading && noted[j] && !pulled[j] && ((noted[1] && noted[2]) || !rule(recognition)) ->
     pulled[j] = 1; flo[0] = flo[0] || flo[j];
     if :: mem[j] > mem[0] -> if :: mem[j] == 2 -> store[0] :: else -> mem[0] = mem[j] fi :: else fi }
@end
/* What the set-aside directory has newer than the others is taken, as any newer version is. What nobody else has at all
 * goes into quarantine at or below the floor, and stays above it. */
:: d_step { loading && pulled[1] && pulled[2] ->
     if
     :: kept > mem[0] && (mem[0] != 0 || !flo[0] || (kept == 1 && !rule(quarantine))) && (kept == 1 || head[0] < 2) ->
          if :: kept == 2 -> store[0] :: else -> mem[0] = kept fi
     :: else
     fi;
     kept = 0; loading = 0; whole[1] = 1; whole[2] = 1 }

@if forgetful
:: d_step { durable < ack[1,0] -> durable = ack[1,0] }
:: d_step { !cut && durable < ack[1,0] -> cut = 1; ack[1,0] = durable; whole[1] = 0 }
@end

/* What was purged anywhere is nowhere any more; owner 0 counts when both have judged it. */
:: d_step { dead && (mem[1] == 1 || mem[2] == 1) -> assert(false) }
:: d_step { dead && mem[0] == 1 && open[1] && open[2] -> assert(false) }
/* Nor is it read: owner 0 and one that has judged it, and has nothing. */
@each j in 1 2
:: d_step { dead && mem[0] == 1 && open[j] && mem[j] == 0 && flo[j] -> assert(false) }
@end

od }
