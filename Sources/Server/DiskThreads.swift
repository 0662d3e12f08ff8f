import Platform
import Primitives
import Replication
import Storage

// The threads that wait for the device so that the loop does not: one syncs, one for each lane of jobs (with a file
// system of its own), one reads what is not in memory. Each answers as an event for the node. The number of requests is
// bounded by the node (one sync in flight, one job per sealed file, one read per operation in progress). One more serves
// the files of snapshots, of which the node knows nothing.

final class DiskThreads: Sendable {
  private struct OpenFile: Sendable {
    let descriptor: Int32
    let path: String
  }

  private struct SyncWork: Sendable {
    let ticket: SyncTicket
    let files: [OpenFile]
  }

  /// Owns its descriptor: the store may close the file while the read waits.
  private final class ReadWork: Sendable {
    let ticket: ReadTicket
    let read: ColdRead
    let path: String
    let descriptor: Descriptor

    init(ticket: ReadTicket, read: ColdRead, path: String, descriptor: consuming Descriptor) {
      self.ticket = ticket
      self.read = read
      self.path = path
      self.descriptor = descriptor
    }
  }

  private static let syncsMax = 4
  private static let jobsMax = 1 << 16
  private static let readsMax = 1 << 16

  private let syncs: Worker<SyncWork, (Event, nanoseconds: UInt64)>
  /// By `DiskLane`.
  private let jobs: [Worker<DiskJob, Event>]
  private let reads: Worker<ReadWork, Event>
  private let snapshots: Worker<SnapshotWork, SnapshotAnswer>

  /// - Parameter data: The node's directory.
  init(waking loop: EventLoop, data: String) throws(Errno) {
    syncs = try Worker(requestsMax: DiskThreads.syncsMax, waking: loop) { DiskThreads.performTimed }
    var lanes: [Worker<DiskJob, Event>] = []
    for lane in DiskLane.allCases {
      lanes.append(
        try Worker(requestsMax: DiskThreads.jobsMax, waking: loop) {
          if lane == .background { Thread.giveWay() }
          let files = JobFiles()
          return { files.perform($0) }
        })
    }
    jobs = lanes
    reads = try Worker(requestsMax: DiskThreads.readsMax, waking: loop) { DiskThreads.perform }
    snapshots = try Worker(requestsMax: SnapshotWork.requestsMax, waking: loop) {
      Thread.giveWay()
      let files = SnapshotFiles(data: data)
      return { files.perform($0) }
    }
  }

  /// Hands over the node's files, which stay open until the answer comes.
  func sync<Node: DrivenNode>(_ request: SyncRequest, of node: Node) {
    var files: [OpenFile] = []
    files.reserveCapacity(request.files.count)
    for file in request.files {
      files.append(OpenFile(descriptor: node.rawDescriptor(of: file), path: node.path(of: file)))
    }
    let taken = syncs.submit(SyncWork(ticket: request.ticket, files: files))
    invariant(taken, "the node asked for more than one sync at a time")
  }

  func perform(_ job: DiskJob) {
    let taken = jobs[job.lane.rawValue].submit(job)
    invariant(taken, "\(DiskThreads.jobsMax) disk jobs are waiting")
  }

  /// Nil when the read is on its way; its outcome when it could not be.
  func read<Node: DrivenNode>(
    _ ticket: ReadTicket, _ read: ColdRead, of node: Node
  ) -> Event? {
    let path = node.path(of: read.file)
    do throws(Errno) {
      let descriptor = try Descriptor.duplicating(node.rawDescriptor(of: read.file))
      let work = ReadWork(ticket: ticket, read: read, path: path, descriptor: descriptor)
      // With the queue full the loop reads by itself: slower for all, but bounded and correct.
      return reads.submit(work) ? nil : DiskThreads.perform(work)
    } catch {
      return .readFailed(ticket, .io(.read, path: path, errno: error.rawValue))
    }
  }

  /// False when too much waits already.
  func perform(_ work: SnapshotWork) -> Bool { snapshots.submit(work) }

  /// What has been done since the last call, and how long each took.
  func syncsDone() -> [(Event, nanoseconds: UInt64)] { syncs.answers() }
  func othersDone() -> [Event] {
    var events = reads.answers()
    for lane in jobs { events += lane.answers() }
    return events
  }

  func snapshotsDone() -> [SnapshotAnswer] { snapshots.answers() }

  /// Waits for what is under way.
  func finish() {
    syncs.finish()
    for lane in jobs { lane.finish() }
    reads.finish()
    snapshots.finish()
  }

  private static func performTimed(_ work: SyncWork) -> (Event, nanoseconds: UInt64) {
    let clock = SystemClock()
    let began = clock.instant()
    let event = perform(work)
    return (event, clock.instant().nanoseconds - began.nanoseconds)
  }

  private static func perform(_ work: SyncWork) -> Event {
    for file in work.files {
      do throws(Errno) {
        try syncData(file.descriptor)
      } catch {
        return .syncFailed(work.ticket, .io(.sync, path: file.path, errno: error.rawValue))
      }
    }
    return .synced(work.ticket)
  }

  private static func perform(_ work: ReadWork) -> Event {
    do throws(Errno) {
      let bytes = try readWaiting(work.descriptor.rawValue, at: work.read.offset, count: work.read.count)
      return .read(work.ticket, bytes: bytes)
    } catch {
      return .readFailed(work.ticket, .io(.read, path: work.path, errno: error.rawValue))
    }
  }
}

/// The job thread's own file system; made and used on that thread only.
private final class JobFiles {
  private var files = PosixFileSystem()

  func perform(_ job: DiskJob) -> Event {
    for step in job.steps {
      do throws(StorageError) {
        try step.perform(on: &files)
      } catch {
        return .jobFailed(job.id, error)
      }
    }
    return .jobDone(job.id)
  }
}
