import Causality
import Cluster
import Messages
import Primitives
import Replication
import Storage

// One simulated computer: its clocks, its disk, and the process on it, if one runs. The driver's side of the contract
// between turns (what has arrived, the sync in flight, the queue of disk jobs) lives here as well, because it dies with
// the process.

/// One run of a node's process: things that were meant for an earlier run find it gone.
struct Life: Equatable, Sendable {
  let machine: Int
  let number: Int
}

/// What has come to a process that it has not read yet.
struct Heard {
  let event: Event
  /// Whose connection it came on; nil when it is no message of a peer.
  var sender: Life?
}

final class Machine {
  /// How a process will end, in the middle of what it does with its disk.
  enum Doom {
    case kill, powerLoss
  }
  enum State: Equatable {
    case down, up, paused
  }

  let index: Int
  let member: Member
  /// For all that is drawn on this machine while it runs.
  var generator: SeededGenerator
  /// Rare branches of the driver.
  var chaos = Chaos()
  var clock: SimulatedClock
  /// Nil while the machine is down.
  var node: Node<MountedDisk>?
  /// What outlives the process.
  let platter: Platter
  var state = State.down
  /// Counts the processes that ran here.
  var lives = 0
  /// Counts beginnings and ends of pauses: whoever waited through one cannot complain of slowness.
  var pauses = 0
  var isStopping = false
  /// As its node last counted them.
  var sloppyReads: UInt64 = 0
  var hintsDelivered: UInt64 = 0
  /// After its last turn.
  var hintsWaiting = 0
  /// The actor of the last process that said hello, unless it stopped cleanly.
  var actor: (id: ActorID, life: Int)?
  /// A process of this machine has served: its stores have come to be.
  var hasServed = false
  /// Left out while the others must do alone: what is down stays down.
  var isOut = false
  /// Some of what its disk had synced is damaged. It may refuse to start, and is not healed.
  var isDamaged = false
  /// When a sync of this process failed, and the pauses until then.
  var syncFailed: (at: Instant, pauses: Int)?
  /// The disk will die under the process, and the process with it.
  var doom: Doom?

  // The driver's side, per life
  var inbox: [Heard] = []
  /// By machine, the lives of its processes whose HELLO this process has accepted.
  var introduced: [Set<Int>]
  var isTurnScheduled = false
  /// Merges that its operator has asked this process for, and that are not answered.
  var mergesAwaited = 0
  /// By `DiskLane`: its jobs, and the steps done of the first.
  var lanes = [(jobs: [DiskJob], stepsDone: Int)](repeating: ([], 0), count: DiskLane.allCases.count)

  init(
    index: Int, of machines: Int, member: Member, clock: SimulatedClock, disk: SimulatedDisk, generator: SeededGenerator
  ) {
    introduced = Array(repeating: [], count: machines)
    self.generator = generator
    self.index = index
    self.member = member
    self.clock = clock
    platter = Platter(disk)
  }

  var life: Life { Life(machine: index, number: lives) }
  /// For people: nodes count from 1.
  var number: Int { index + 1 }

  /// The process is gone, and with it all that was not on the disk.
  func forgetProcess() {
    node = nil
    state = .down
    isStopping = false
    sloppyReads = 0
    hintsDelivered = 0
    hintsWaiting = 0
    doom = nil
    syncFailed = nil
    inbox.removeAll()
    isTurnScheduled = false
    mergesAwaited = 0
    for other in introduced.indices { introduced[other] = [] }
    for lane in lanes.indices { lanes[lane] = ([], 0) }
  }
}
