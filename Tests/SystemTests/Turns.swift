import Platform
import Testing

// How the tests of this module share the machine. They wait for other processes nearly all of the time. Where they did
// that on the threads that all tests of a run share, of which there is one per core, those that compute would wait too;
// so each of them has a thread of its own. And a few take turns: one uses the time in which another one waits.

struct Turns: SuiteTrait, TestTrait, TestScoping {
  /// Clusters that run at a time.
  static let countMax = 3

  private let turnstile = Turnstile(free: Turns.countMax)
  var isRecursive: Bool { true }

  func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
  ) async throws {
    await turnstile.enter()
    let result: Result<Void, any Error>
    do {
      let executor = TestThread()
      let thread = try Thread { executor.run() }
      defer {
        executor.close()
        thread.join()
      }
      result = .success(try await withTaskExecutorPreference(executor) { try await function() })
    } catch {
      result = .failure(error)
    }
    await turnstile.leave()
    try result.get()
  }
}

extension Trait where Self == Turns {
  static var turns: Turns { Turns() }
}

/// Lets a number of tests in; the others follow in the order in which they came.
private actor Turnstile {
  private var free: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(free: Int) { self.free = free }

  func enter() async {
    if free > 0 { free -= 1 } else { await withCheckedContinuation { waiting.append($0) } }
  }

  func leave() {
    if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() }
  }
}

/// A thread that runs one test, up to its next `await` and on from there.
private final class TestThread: TaskExecutor {
  private let jobs = BoundedQueue<UnownedJob>(countMax: 1000)

  /// Runs what it is given until `close`.
  func run() {
    while true {
      let batch = jobs.takeAll()
      if batch.isEmpty { return }
      for job in batch { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
    }
  }

  func enqueue(_ job: consuming ExecutorJob) {
    guard jobs.offer(UnownedJob(job)) else { preconditionFailure("a test goes on after its end, or in too many parts") }
  }

  func close() { jobs.close() }
}
