import Primitives
import Replication
import Storage

// The disk's side of a process: syncs, jobs and cold reads that take their time off the loop. What a sync makes durable
// is fixed at some moment while it is in flight: at its beginning, so that a node which counts on later writes is
// caught, or at its end, so that one which does not wait is.

extension Simulator {
  func beginSync(_ request: SyncRequest, afterSync: [Effect], on machine: Machine) {
    let isPerformed = machine.generator.chance(1, in: 2)
    if isPerformed, let failure = sync(request, on: machine) {
      if dies(machine) { return }
      deliver(.syncFailed(request.ticket, failure), to: machine)
      return
    }
    note(.sync, machine, request.ticket.rawValue, "sync \(request.ticket.rawValue) of \(request.files.count) files")
    schedule(
      .syncFinished(machine.life, request, afterSync: afterSync, isPerformed: isPerformed),
      after: machine.generator.duration(microseconds: diskPace.syncMicroseconds))
  }

  func syncFinished(_ life: Life, _ request: SyncRequest, afterSync: [Effect], isPerformed: Bool) {
    guard let machine = machine(life) else { return }
    guard machine.state == .up else {
      // The thread that waits for the device is stopped as well.
      schedule(
        .syncFinished(life, request, afterSync: afterSync, isPerformed: isPerformed), after: 10_000_000)
      return
    }
    if !isPerformed, let failure = sync(request, on: machine) {
      if dies(machine) { return }
      deliver(.syncFailed(request.ticket, failure), to: machine)
      return
    }
    note(.sync, machine, request.ticket.rawValue, "synced \(request.ticket.rawValue)")
    perform(afterSync, of: machine)
    deliver(.synced(request.ticket), to: machine)
  }

  private func sync(_ request: SyncRequest, on machine: Machine) -> StorageError? {
    do throws(StorageError) {
      for file in request.files { try machine.platter.disk.sync(file) }
      return nil
    } catch { return error }
  }

  // MARK: - Jobs

  func add(_ job: DiskJob, to machine: Machine) {
    machine.lanes[job.lane.rawValue].jobs.append(job)
    note(.job, machine, job.id.rawValue, "job \(job.id.rawValue) of \(job.steps.count) steps")
    if machine.lanes[job.lane.rawValue].jobs.count == 1 { scheduleJobStep(of: machine, job.lane) }
  }

  private func scheduleJobStep(of machine: Machine, _ lane: DiskLane) {
    schedule(
      .jobStep(machine.life, lane), after: machine.generator.duration(microseconds: diskPace.jobStepMicroseconds))
  }

  /// Performs one step; between two of them the process may die.
  func jobStep(_ life: Life, _ lane: DiskLane) {
    guard let machine = machine(life), let job = machine.lanes[lane.rawValue].jobs.first else { return }
    guard machine.state == .up else {
      schedule(.jobStep(life, lane), after: 10_000_000)
      return
    }
    let done = machine.lanes[lane.rawValue].stepsDone
    do throws(StorageError) {
      if done < job.steps.count { try job.steps[done].perform(on: &machine.platter.disk) }
    } catch {
      if dies(machine) { return }
      note(.job, machine, job.id.rawValue, "job \(job.id.rawValue) fails: \(error)")
      finishJob(of: machine, lane, .jobFailed(job.id, error))
      return
    }
    machine.lanes[lane.rawValue].stepsDone = done + 1
    if done + 1 >= job.steps.count {
      note(.job, machine, job.id.rawValue, "job \(job.id.rawValue) is done")
      finishJob(of: machine, lane, .jobDone(job.id))
    } else {
      scheduleJobStep(of: machine, lane)
    }
  }

  private func finishJob(of machine: Machine, _ lane: DiskLane, _ event: Event) {
    machine.lanes[lane.rawValue].jobs.removeFirst()
    machine.lanes[lane.rawValue].stepsDone = 0
    deliver(event, to: machine)
    if !machine.lanes[lane.rawValue].jobs.isEmpty { scheduleJobStep(of: machine, lane) }
  }

  func coldRead(_ life: Life, _ ticket: ReadTicket, _ read: ColdRead) {
    guard let machine = machine(life) else { return }
    defer { machine.platter.disk.close(read.file) }
    do throws(StorageError) {
      let result = try machine.platter.disk.read(read.file, at: read.offset, count: read.count, mayBlock: true)
      guard case .bytes(let bytes) = result else {
        report(.unavailable, "n\(machine.number): a read that may block did not bring bytes")
        return
      }
      note(.read, machine, ticket.rawValue, "read \(bytes.count) bytes")
      deliver(.read(ticket, bytes: bytes), to: machine)
    } catch {
      if dies(machine) { return }
      note(.read, machine, ticket.rawValue, "read failed: \(error)")
      deliver(.readFailed(ticket, error), to: machine)
    }
  }
}
