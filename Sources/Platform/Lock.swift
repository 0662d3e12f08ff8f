import Glibc

// A mutex around a value. Not `Synchronization.Mutex`: the thread sanitizer does not see that one on Linux, and this
// one takes half the time.

/// A value that several threads use, one at a time.
@safe
package final class Locked<Value>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private var value: Value

  package init(_ value: sending Value) {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(mutex, nil)
    self.value = value
  }

  deinit {
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  package func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return body(&value)
  }
}

/// A queue with a maximum, emptied by one thread that waits for more. What cannot wait is not put in.
@safe
package final class BoundedQueue<Element: Sendable>: @unchecked Sendable {
  package let countMax: Int
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let arrived: UnsafeMutablePointer<pthread_cond_t>
  private var waiting: [Element] = []
  private var closed = false

  package init(countMax: Int) {
    self.countMax = countMax
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe pthread_mutex_init(mutex, nil)
    unsafe arrived = .allocate(capacity: 1)
    unsafe arrived.initialize(to: pthread_cond_t())
    unsafe pthread_cond_init(arrived, nil)
  }

  deinit {
    unsafe pthread_cond_destroy(arrived)
    unsafe arrived.deallocate()
    unsafe pthread_mutex_destroy(mutex)
    unsafe mutex.deallocate()
  }

  /// False, and nothing is queued, when the queue is full or closed.
  package func offer(_ element: Element) -> Bool {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    guard !closed, waiting.count < countMax else { return false }
    waiting.append(element)
    if waiting.count == 1 { unsafe pthread_cond_signal(arrived) }
    return true
  }

  /// Everything that is queued, in order; waits while there is nothing. Empty once closed and drained.
  package func takeAll() -> [Element] {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while waiting.isEmpty && !closed { unsafe pthread_cond_wait(arrived, mutex) }
    defer { waiting = [] }
    return waiting
  }

  /// Lets the taker finish what is queued and then end.
  package func close() {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    closed = true
    unsafe pthread_cond_signal(arrived)
  }
}
