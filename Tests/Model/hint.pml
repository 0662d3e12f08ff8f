/* A hint below the floor that nobody deleted: the floor was raised by another key. Key k has an old value 1 and a
 * newer one 2. Owner 0 has the newer; it was acknowledged by owner 0 and by a fallback, which keeps it as a hint for
 * owner 1, whose floor is above both. Owner 2 has the old value or nothing.
 *
 * Checked: what two disks had durably, two disks keep. Everything at owner 1 is durable when it says so, and not
 * before. */

@each i
unsigned mem[i] : 2;
@end
unsigned disk : 2;       /* of owner 1 */
unsigned hint : 1;       /* the fallback keeps it */
unsigned open : 1;       /* owner 1 asks the others because of it */
@each j in 0 2
unsigned answer[j] : 3;  /* 0 none yet, 1 absent, else the version and 1 */
@end
unsigned got : 1;        /* what was to be applied was applied */
unsigned crashes : 1;

#define close open = 0; answer[0] = 0; answer[2] = 0; got = 0

active proctype hints() {
  d_step { mem[0] = 2; hint = 1 };
  if :: mem[2] = 1 :: mem[2] = 0 fi;
  do
  /* PUSH of the hint; FLOOR: k is not here, and the floor is above it. A VALIDATED PULL begins. */
  :: d_step { hint && !open && mem[1] == 0 -> open = 1 }
  /* The hint finds its key here: MERGE, and it is said to be taken when it is durable. */
  :: d_step { hint && mem[1] != 0 && mem[1] < 2 -> mem[1] = 2 }
  :: d_step { hint && mem[1] == 2 && disk == 2 -> hint = 0 }
@each j in 0 2
  :: d_step { open && answer[j] == 0 -> answer[j] = mem[j] + 1 }
@end
  /* VALIDATED PULL: when all have answered, the newest is applied; that nobody has it is only known then. */
@each j in 0 2
  :: d_step { open && !got && ((answer[0] && answer[2]) || (!rule(validatedPull) && answer[j])) ->
       got = 1;
       if :: answer[j] > 1 && mem[1] < answer[j] - 1 -> mem[1] = answer[j] - 1 :: else fi;
       if :: rule(validatedPull) && answer[2] > 1 && mem[1] < answer[2] - 1 -> mem[1] = answer[2] - 1 :: else fi;
       if :: rule(validatedPull) && answer[0] > 1 && mem[1] < answer[0] - 1 -> mem[1] = answer[0] - 1 :: else fi }
@end
  :: d_step { disk < mem[1] -> disk = mem[1] }
  /* Handled, once it is durable: the fallback forgets it. An owner that is away answers nothing: the hint stays. */
  :: d_step { open && got && (disk == mem[1] || !rule(durableCursor)) -> hint = 0; close }
  :: d_step { open -> close }
  :: d_step { !crashes && disk < mem[1] -> crashes = 1; mem[1] = disk; close }

  :: d_step { !hint && disk != 2 -> assert(false) }
  od
}
