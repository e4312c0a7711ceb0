#pragma once

#include <memory>

namespace antipode {

/// One owner for a C object: `using Repo = Handle<git_repository, git_repository_free>;`
template <auto free_fn>
struct FreeWith {
    template <typename T>
    void operator()(T* object) const noexcept {
        free_fn(object);
    }
};

template <typename T, auto free_fn>
using Handle = std::unique_ptr<T, FreeWith<free_fn>>;

/// Fills a Handle through a C out parameter within one full expression:
/// `check(git_repository_open(OutParam(repo), path))`.
template <typename HandleType>
class OutParam {
  public:
    explicit OutParam(HandleType& handle) noexcept : handle_(handle) {}
    OutParam(const OutParam&) = delete;
    OutParam& operator=(const OutParam&) = delete;
    ~OutParam() { handle_.reset(object_); }

    operator typename HandleType::pointer *() noexcept { return &object_; }

  private:
    HandleType& handle_;
    typename HandleType::pointer object_ = nullptr;
};

}  // namespace antipode
