"""archsat."""
