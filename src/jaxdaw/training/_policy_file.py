load_policy = save_policy = None  # interim
