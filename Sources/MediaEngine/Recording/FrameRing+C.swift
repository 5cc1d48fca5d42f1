internal import Synchronization

/// Blocks of stereo samples on their way from one worker to the one writer. Neither ever waits for the other: where it is
/// full, a block is lost, and counted.
@safe
struct FrameRing: ~Copyable, @unchecked Sendable {
  /// Samples of each side in a block, 80 ms of 8 kHz and 40 of 16: whole packets of Opus in both.
  static let frames = 640

  let capacity: Int
  private let samples: UnsafeMutablePointer<Int16>
  private let owners: UnsafeMutablePointer<Int32>
  /// Blocks that were ever put in, and taken out.
  private let pushed = Atomic<Int>(0)
  private let popped = Atomic<Int>(0)

  init(capacity: Int) {
    self.capacity = max(capacity, 1)
    // Pages that no recording has needed yet are not there.
    unsafe samples = .allocate(capacity: self.capacity * 2 * Self.frames)
    unsafe owners = .allocate(capacity: self.capacity)
  }

  deinit {
    unsafe samples.deallocate()
    unsafe owners.deallocate()
  }

  var position: Int { pushed.load(ordering: .acquiring) }
  var taken: Int { popped.load(ordering: .relaxed) }

  /// For the worker. The samples are taken out of the tracks, left and right in turn; false: there was no room for them.
  func push(
    _ owner: Int32, _ left: inout RecordingTrack, _ right: inout RecordingTrack, from place: Int
  ) -> Bool {
    let position = pushed.load(ordering: .relaxed)
    let hasRoom = position - popped.load(ordering: .acquiring) < capacity
    let slot = position % capacity
    let base = unsafe samples + slot * 2 * Self.frames
    for i in 0..<Self.frames {
      let (one, other) = (left.remove(at: place + i), right.remove(at: place + i))
      if hasRoom {
        unsafe base[2 * i] = one
        unsafe base[2 * i + 1] = other
      }
    }
    guard hasRoom else { return false }
    unsafe owners[slot] = owner
    pushed.store(position + 1, ordering: .releasing)
    return true
  }

  /// For the writer: whose the oldest block is, copied to `block`; nil where there is none before `end`.
  func pop(before end: Int, into block: inout [Int16]) -> Int32? {
    let position = popped.load(ordering: .relaxed)
    guard position < end, position < pushed.load(ordering: .acquiring),
      block.count >= 2 * Self.frames
    else { return nil }
    let slot = position % capacity
    let base = unsafe samples + slot * 2 * Self.frames
    for i in 0..<2 * Self.frames { unsafe block[i] = base[i] }
    let owner = unsafe owners[slot]
    popped.store(position + 1, ordering: .releasing)
    return owner
  }
}
