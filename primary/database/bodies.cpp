#include "primary/database/bodies.hpp"

#include <algorithm>

namespace antipode::primary {
namespace {

constexpr std::chrono::seconds sign_of_life(1);

}  // namespace

size_t TextBody::read(std::span<char> buffer) {
    const size_t size = std::min(buffer.size(), text_.size() - next_);
    std::copy_n(text_.begin() + static_cast<ptrdiff_t>(next_), size, buffer.begin());
    next_ += size;
    return size;
}

size_t StreamBody::read(std::span<char> buffer) {
    size_t filled = first_.read(buffer);
    while (filled < buffer.size()) {
        const size_t size = reader_->read(buffer.subspan(filled));
        if (size == 0) {
            break;
        }
        filled += size;
    }
    return filled;
}

size_t LaterBody::read(std::span<char> buffer) {
    if (!made_) {
        if (making_.wait_for(sign_of_life) != std::future_status::ready) {
            buffer.front() = '\n';
            return 1;
        }
        made_ = std::make_unique<TextBody>(making_.get(), Headers{});
    }
    return made_->read(buffer);
}

}  // namespace antipode::primary
