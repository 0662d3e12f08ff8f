/* Two stores of three that are lost, one after the other or at once: owners 0 and 1 are wiped once each, whenever. A
 * store that loads pulls from every owner that serves, and passes over one that says that it loads itself. Versions: 0
 * absent, 1 the value v, 2 its tombstone t. Everything is durable at once. */

@each i
unsigned mem[i] : 2;
unsigned flo[i] : 1;     /* t has been purged here */
unsigned loading[i] : 1;
@end
@each i j
unsigned ack[i,j] : 1;   /* the promise that i holds: j has passed the entry of t that i has now */
unsigned former[i,j] : 1;  /* it is of j's former incarnation, and i does not know that */
unsigned pulled[i,j] : 1;  /* i, which loads, has what j had */
@end
@each i in 0 1
unsigned wiped[i] : 1;
@end
unsigned dead : 1;       /* t has been purged somewhere */

@each i
#define store[i] mem[i] = 2; for q { ack[i,q] = 0 }
/* Everybody whose store serves has i's incarnation on record. */
#define known[i] (others q { !former[q,i] || loading[q] })
@end

active proctype owners() { do

@each i
:: d_step { !loading[i] && mem[i] == 0 && !flo[i] -> mem[i] = 1 }
:: d_step { !loading[i] && mem[i] < 2 && !(mem[i] == 0 && flo[i]) -> store[i] }
/* PURGE. */
:: d_step { !loading[i] && mem[i] == 2 && others q { ack[i,q] } -> mem[i] = 0; flo[i] = 1; dead = 1 }
@end

@each i j
/* FEED and PULL: i from j, which serves and knows which store i has. */
:: d_step { !loading[j] && !former[j,i] && mem[j] == 2 && !ack[j,i] && mem[i] < 2 -> store[i] }
:: d_step { !loading[j] && !former[j,i] && mem[j] == 2 && !ack[j,i] && mem[i] == 2 -> ack[j,i] = 1 }
:: d_step { !loading[j] && !loading[i] && mem[j] == 1 && mem[i] == 0 -> mem[i] = 1 }
/* IDENT: j hears of i's new incarnation, and what the former one said is void. */
:: d_step { former[j,i] -> former[j,i] = 0; ack[j,i] = 0 }
/* LOADING. */
:: d_step { loading[i] && !loading[j] && !pulled[i,j] && !former[j,i] && (known[i] || !rule(recognition)) ->
     pulled[i,j] = 1; flo[i] = flo[i] || flo[j];
     if :: mem[j] > mem[i] -> if :: mem[j] == 2 -> store[i] :: else -> mem[i] = mem[j] fi :: else fi }
@end

@each i
:: d_step { loading[i] && known[i] && another q { pulled[i,q] } && others q { pulled[i,q] || loading[q] } ->
     loading[i] = 0; for q { pulled[i,q] = 0 } }
@end

@each i in 0 1
:: d_step { !wiped[i] -> wiped[i] = 1; loading[i] = 1; mem[i] = 0; flo[i] = 0;
     for q { ack[i,q] = 0; former[i,q] = 0; pulled[i,q] = 0; former[q,i] = 1 } }
@end

/* What was purged anywhere is at no owner that serves. */
@each i
:: d_step { dead && !loading[i] && mem[i] == 1 -> assert(false) }
@end

od }
